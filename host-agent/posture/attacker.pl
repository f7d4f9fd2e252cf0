# What an attacker would bring along: perl is on every Debian, needs no compiler, and calls any system call by number.
# Two uses, both without any module:
#   attempt 'ID<TAB>OPERATION<TAB>ARGUMENTS…' …   tries each in a process of its own, prints 'ID<TAB>VERDICT<TAB>DETAIL'
#   receive 'udp<TAB>ADDRESS<TAB>PORT' 'tcp<TAB>…' 'packets' …   prints what arrives, until its standard input ends
# A verdict is what was seen and never a judgement: done, refused (errno), answered, silent, ended (signal), broken.
# Inside a container there is perl alone, without its library.
BEGIN { eval { require strict; strict->import; require warnings; warnings->import } }
$| = 1;
my ($AF_INET, $AF_INET6, $AF_PACKET, $STREAM, $DGRAM, $RAW) = (2, 10, 17, 1, 2, 3);
my ($EINPROGRESS, $EAGAIN) = (115, 11);

sub say_line { syswrite(STDOUT, join("\t", map { s/[\t\n\r]/ /gr } @_) . "\n") }
sub done { return ('done', join(' ', @_)) }
sub refused { return ('refused', $! + 0) }

sub inet6 {
  my ($head, $tail) = split(/::/, $_[0], 2);
  my @head = split(/:/, $head // '');
  my @tail = split(/:/, $tail // '');
  return pack('n8', map { hex } @head, (0) x (8 - @head - @tail), @tail);
}
sub inet4 { return pack('C4', split(/\./, $_[0])) }
sub dotted { return join('.', unpack('C4', $_[0])) }
sub colons { return join(':', map { sprintf('%x', $_) } unpack('n8', $_[0])) }
sub ifindex {
  socket(my $s, $AF_INET, $DGRAM, 0) or die "socket: $!\n";
  my $request = pack('a16x24', $_[0]);
  ioctl($s, 0x8933, $request) or die "no interface $_[0]\n";
  return unpack('x16 l', $request);
}
# HOST may be fe80::1%eth0.
sub address {
  my ($host, $port) = @_;
  return ($AF_INET, pack('S n a4 x8', $AF_INET, $port, inet4($host))) if $host !~ /:/;
  my ($bare, $zone) = split(/%/, $host);
  return ($AF_INET6, pack('S n N a16 L', $AF_INET6, $port, 0, inet6($bare), $zone ? ifindex($zone) : 0));
}
sub checksum {
  my $sum = 0;
  $sum += $_ for unpack('n*', $_[0]);
  $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
  return ~$sum & 0xffff;
}
sub readable {
  my ($socket, $seconds, $write) = @_;
  my ($read, $wrote) = ('', '');
  vec($write ? $wrote : $read, fileno($socket), 1) = 1;
  return select($read, $wrote, undef, $seconds) > 0;
}
sub nonblocking { fcntl($_[0], 4, fcntl($_[0], 3, 0) | 2048) }
sub bind_to {
  my ($socket, $source) = @_;
  return 1 if !$source;
  my (undef, $local) = address($source, 0);
  return bind($socket, $local);
}

my %operations = (
  # Arguments: a number, s:TEXT, or h:HEX for bytes.
  syscall => sub {
    my ($number, @given) = @_;
    my @arguments = map { /^s:(.*)/s ? "$1\0" : /^h:(.*)/ ? pack('H*', $1) : $_ + 0 } @given;
    my $result = syscall($number + 0, @arguments);
    return $result == -1 ? refused() : done("returned $result");
  },
  # To what it is anyway: where this is allowed, nobody must notice.
  set_clock => sub {
    my ($get, $set) = @_;
    my $now = pack('q q', 0, 0);
    syscall($get + 0, 0, $now) == 0 or return ('broken', 'the clock cannot be read');
    return syscall($set + 0, 0, $now) == -1 ? refused() : done('the clock was set');
  },
  # Ctrl-Alt-Del is set to what it is anyway; from within a PID namespace the kernel has no such command.
  reboot => sub {
    my ($reboot) = @_;
    open(my $file, '<', '/proc/sys/kernel/ctrl-alt-del') or return ('broken', 'ctrl-alt-del cannot be read');
    my $command = <$file> + 0 ? 0x89abcdef : 0;
    return syscall($reboot + 0, 0xfee1dead, 672274793, $command, 0) == -1 ? refused() : done('the kernel obeyed');
  },
  # A file of the host that is mounted here leads to the whole file system behind it. Where its own handle is not told,
  # that of the root directory is guessed, as shocker did: inode 2 of ext4.
  by_handle => sub {
    my ($name_to, $open_by, $path) = @_;
    open(my $file, '<', $path) or return ('broken', "$path: $!");
    my ($handle, $mount) = (pack('I i x128', 128, 0), pack('i', 0));
    $handle = pack('I i L L', 8, 1, 2, 0) if syscall($name_to + 0, -100, "$path\0", $handle, $mount, 0) == -1;
    return syscall($open_by + 0, fileno($file), $handle, 0) == -1 ? refused() : done('opened by handle');
  },
  # What modprobe would do for these modules: of files of one name the first directory's counts, of `install` lines the
  # first. Only where all are refused the kernel is asked, so that nothing is loaded by asking.
  modules => sub {
    my ($directories, $names) = @_;
    my (%files, %install);
    for my $directory (split(/:/, $directories)) {
      opendir(my $handle, $directory) or next;
      $files{$_} //= "$directory/$_" for grep { /\.conf$/ } readdir($handle);
    }
    for my $path (@files{sort keys %files}) {
      open(my $file, '<', $path) or next;
      while (my $line = <$file>) { $install{$1 =~ tr/-/_/r} //= $2 if $line =~ /^\s*install\s+(\S+)\s+(.*?)\s*$/ }
    }
    my @loose = grep { ($install{$_} // '') ne '/bin/false' } split(/,/, $names);
    return done('modprobe would load ' . join(', ', @loose)) if @loose;
    my $loaded = '';
    if (open(my $list, '<', '/proc/modules')) { local $/; $loaded = <$list> }
    my @loaded = grep { $loaded =~ /^$_ /m } split(/,/, $names);
    return done('loaded: ' . join(', ', @loaded)) if @loaded;
    for my $type ('aead', 'hash', 'rng', 'skcipher') {
      socket(my $s, 38, 5, 0) or last;
      my $bound = bind($s, pack('S a14 L L a64', 38, $type, 0, 0, 'chelar'));
      # 2: the interface is there, and knows no such algorithm. Without the interface the type is invalid (22).
      return done("the kernel has it built in: algif_$type") if $bound || $! == 2;
    }
    return done('blocked: ' . $names);
  },
  # Attaches to the container's first process, and says what would be gained by it.
  ptrace_init => sub {
    my ($ptrace) = @_;
    return refused() if syscall($ptrace + 0, 16, 1, 0, 0) == -1;
    open(my $file, '<', '/proc/1/status') or return ('broken', '/proc/1/status cannot be read');
    my $status = do { local $/; <$file> };
    return done(join(' ', map { $status =~ /^$_:\s+(\S+)/m ? "$_ $1" : "$_ ?" } qw(Uid CapPrm CapBnd)));
  },
  socket => sub {
    my ($family, $type, $protocol) = @_;
    return socket(my $s, $family, $type, $protocol) ? done('a socket') : refused();
  },
  read => sub {
    my ($path) = @_;
    open(my $file, '<', $path) or return refused();
    my $count = sysread($file, my $bytes, 3000);
    return defined $count ? done($bytes =~ s/\n/;/gr) : refused();
  },
  write => sub {
    my ($path) = @_;
    sysopen(my $file, $path, 1 | 64) or return refused();
    return defined syswrite($file, 'probe') ? done("wrote $path") : refused();
  },
  # Opens without reading or writing: a device that must not be disturbed.
  open => sub { return sysopen(my $file, $_[0], $_[1]) ? done("opened $_[0]") : refused() },
  # Docker hides a file by laying /dev/null over it.
  masked => sub { return -c $_[0] ? done('masked') : -e $_[0] ? done('there to be read') : refused() },
  # Copies a program, makes it executable and runs it.
  execute => sub {
    my ($from, $to) = @_;
    open(my $source, '<', $from) or return ('broken', "no $from");
    my $bytes = do { local $/; <$source> };
    open(my $target, '>', $to) or return ('broken', "$to: $!");
    print $target $bytes;
    close($target);
    chmod(0755, $to);
    my $pid = fork() // return ('broken', "fork: $!");
    if ($pid == 0) { open(STDOUT, '>', '/dev/null'); exec({$to} 'busybox', 'true'); exit($! == 13 ? 113 : 114) }
    waitpid($pid, 0);
    unlink($to);
    my $code = $? >> 8;
    return $code == 0 ? done("ran $to") : $code == 113 ? ('refused', 13) : ('broken', "ended with $code");
  },
  # The effective UID that a set-user-ID program ends up with. -> prints Uid: of /proc/self/status
  setuid => sub {
    my ($program) = @_;
    my ($owner, $mode) = (stat($program))[4, 2];
    return ('broken', "$program is not set-user-ID root") if !defined $mode || $owner != 0 || !($mode & 04000);
    my $text = qx{$program /proc/self/status};
    return $text =~ /^Uid:\s+\d+\s+(\d+)/m ? done("effective uid $1") : ('broken', "it did not run: $?");
  },
  namespaces => sub {
    return done(join(' ', map { readlink("/proc/self/ns/$_") // "$_?" } qw(pid net mnt ipc uts cgroup)));
  },
  connect_unix => sub {
    my ($path) = @_;
    socket(my $s, 1, $STREAM, 0) or return refused();
    return connect($s, pack('S a*', 1, "$path\0")) ? done("connected to $path") : refused();
  },
  tcp => sub {
    my ($host, $port, $seconds, $source) = @_;
    my ($family, $address) = address($host, $port);
    socket(my $s, $family, $STREAM, 0) or return refused();
    bind_to($s, $source) or return refused();
    nonblocking($s);
    return ('answered', 'open') if connect($s, $address);
    return refused() if $! != $EINPROGRESS;
    return ('silent', "$seconds s") if !readable($s, $seconds, 1);
    my $error = unpack('i', getsockopt($s, 1, 4));
    # A reset is an answer: somebody was reached.
    return $error == 0 ? ('answered', 'open') : $error == 111 ? ('answered', 'reset') : ('refused', $error);
  },
  udp => sub {
    my ($host, $port, $seconds, $source) = @_;
    my ($family, $address) = address($host, $port);
    socket(my $s, $family, $DGRAM, 0) or return refused();
    bind_to($s, $source) or return refused();
    setsockopt($s, 1, 6, 1);
    connect($s, $address) or return refused();
    defined send($s, 'chelar-probe', 0) or return refused();
    return ('silent', "$seconds s") if !readable($s, $seconds);
    my $from = recv($s, my $bytes, 100, 0);
    return defined $from ? ('answered', $bytes) : $! == 111 ? ('answered', 'port closed') : refused();
  },
  ping => sub {
    my ($host, $seconds, $source) = @_;
    my ($family, $address) = address($host, 0);
    my $v6 = $family == $AF_INET6;
    my $message = pack('C C n n n a8', $v6 ? 128 : 8, 0, 0, 7, 1, 'chelar');
    my $s;
    if (!socket($s, $family, $DGRAM, $v6 ? 58 : 1)) {
      my @first = refused();
      # Root of a host that allows no unprivileged ping.
      socket($s, $family, $RAW, $v6 ? 58 : 1) or return @first;
      substr($message, 2, 2) = pack('n', checksum($message)) if !$v6;
    }
    bind_to($s, $source) or return refused();
    defined send($s, $message, 0, $address) or return refused();
    return ('silent', "$seconds s") if !readable($s, $seconds);
    return defined recv($s, my $bytes, 100, 0) ? ('answered', 'echo reply') : refused();
  },
  # All of the ports at once; names those that answered with anything.
  sweep => sub {
    my ($host, $ports, $seconds) = @_;
    my %waiting;
    my @found;
    for my $port (split(/,/, $ports)) {
      my ($family, $address) = address($host, $port);
      socket(my $s, $family, $STREAM, 0) or return refused();
      nonblocking($s);
      if (connect($s, $address)) { push @found, $port }
      elsif ($! == $EINPROGRESS) { $waiting{$port} = $s }
    }
    select(undef, undef, undef, $seconds);
    for my $port (keys %waiting) {
      next if !readable($waiting{$port}, 0, 1);
      my $error = unpack('i', getsockopt($waiting{$port}, 1, 4));
      push @found, $port if $error == 0 || $error == 111;
    }
    return @found ? ('answered', join(',', sort { $a <=> $b } @found)) : ('silent', scalar(keys %waiting) . ' ports');
  },
  # Opens connections as fast as it can.
  flood => sub {
    my ($host, $port, $times) = @_;
    my (undef, $address) = address($host, $port);
    my @kept;
    for (1 .. $times) {
      socket(my $s, $AF_INET, $STREAM, 0) or return refused();
      nonblocking($s);
      connect($s, $address);
      push @kept, $s;
    }
    select(undef, undef, undef, 0.5);
    return done(scalar(@kept) . ' tried');
  },
  # A whole Ethernet frame with any source: needs root in the network namespace, as after a broken fourth wall.
  frame => sub {
    my ($protocol, $interface, $receiver, $source, $target, $port) = @_;
    socket(my $s, $AF_PACKET, $RAW, 0) or return refused();
    my ($from, $to) = (inet4($source), inet4($target));
    my ($number, $body);
    if ($protocol eq 'tcp') {
      $number = 6;
      $body = pack('n n N N C C n n n', 40000, $port, 1, 0, 0x50, 2, 1024, 0, 0);
      # A wrong one would be no connection to the firewall, and dropped for the wrong reason.
      substr($body, 16, 2) = pack('n', checksum($from . $to . pack('C C n', 0, 6, length($body)) . $body));
    } else {
      $number = 17;
      $body = pack('n n n n', 40000, $port, 8 + 12, 0) . 'chelar-probe';
    }
    my $header = pack('C C n n n C C n a4 a4', 0x45, 0, 20 + length($body), 1, 0, 64, $number, 0, $from, $to);
    substr($header, 10, 2) = pack('n', checksum($header));
    my $frame = pack('H12 H12 n', $receiver =~ s/://gr, '020000000001', 0x0800) . $header . $body;
    my $link = pack('S n l S C C a8', $AF_PACKET, 0x0800, ifindex($interface), 0, 0, 6, pack('H12', $receiver =~ s/://gr));
    for (1 .. 3) { defined send($s, $frame, 0, $link) or return refused() }
    select(undef, undef, undef, 0.3);
    return done('3 frames sent');
  },
  fork_bomb => sub {
    my ($times) = @_;
    my @children;
    my $error = 0;
    for (1 .. $times) {
      my $pid = fork();
      if (!defined $pid) { $error = $! + 0; last }
      if ($pid == 0) { sleep(30); exit(0) }
      push @children, $pid;
    }
    kill('KILL', @children);
    waitpid($_, 0) for @children;
    return done(scalar(@children) . " processes") if !$error;
    return $error == $EAGAIN ? ('stopped', scalar(@children) . " processes") : ('refused', $error);
  },
  memory_bomb => sub {
    my ($mib) = @_;
    pipe(my $out, my $in);
    my $pid = fork() // return ('broken', "fork: $!");
    if ($pid == 0) {
      close($out);
      my @hoard;
      for my $have (1 .. $mib / 4) { push @hoard, 'x' x (4 * 1024 * 1024 - 64); syswrite($in, chr(0)) }
      exit(0);
    }
    close($in);
    my $taken = 0;
    while (my $count = sysread($out, my $bytes, 4096)) { $taken += 4 * $count }
    waitpid($pid, 0);
    return $? == 0 ? done("$taken MiB") : ('stopped', "$taken MiB, then signal " . ($? & 127));
  },
  fill => sub {
    my ($path, $mib) = @_;
    open(my $file, '>', $path) or return refused();
    my ($taken, $chunk) = (0, 'x' x (1024 * 1024));
    my $error = 0;
    for (1 .. $mib) {
      my $count = syswrite($file, $chunk);
      if (!defined $count) { $error = $! + 0; last }
      $taken += $count;
    }
    close($file);
    unlink($path);
    my $words = int($taken / 1048576) . ' MiB';
    return $error == 28 || $error == 122 ? ('stopped', $words) : $error ? ('refused', $error) : done($words);
  },
);

sub attempt {
  my %running;
  my $wait = sub { my $pid = waitpid(-1, 0); return if $pid <= 0; my $id = delete $running{$pid} // return;
    say_line($id, 'ended', 'signal ' . ($? & 127)) if $? & 127 };
  for (@_) {
    my ($id, $operation, @arguments) = split(/\t/, $_, -1);
    $wait->() while keys %running >= 24;
    my $pid = fork();
    if (!defined $pid) { say_line($id, 'broken', "fork: $!"); next }
    if ($pid) { $running{$pid} = $id; next }
    alarm(20);
    my @verdict = eval { ($operations{$operation} // die "no operation $operation\n")->(@arguments) };
    say_line($id, @verdict ? @verdict : ('broken', $@ || 'no verdict'));
    exit(0);
  }
  $wait->() while %running;
}

sub receive {
  my (@sockets, $sniffer);
  for (@_) {
    my ($kind, $host, $port) = split(/\t/);
    if ($kind eq 'packets') {
      socket($sniffer, $AF_PACKET, $RAW, 0x0300) or die "sniffer: $!\n";
      push @sockets, [$sniffer, 'packets'];
      next;
    }
    my ($family, $address) = address($host, $port);
    socket(my $s, $family, $kind eq 'tcp' ? $STREAM : $DGRAM, 0) or die "socket: $!\n";
    setsockopt($s, 1, 2, 1);
    setsockopt($s, 41, 26, 1) if $family == $AF_INET6;
    # 99: an IPv6 address that is so new that the kernel still asks whether somebody else has it.
    my $bound = bind($s, $address);
    for (1 .. 30) { last if $bound || $! != 99; select(undef, undef, undef, 0.1); $bound = bind($s, $address) }
    # In use: the machine's own service stands there, which is as good a target.
    if (!$bound || ($kind eq 'tcp' && !listen($s, 64))) { say_line('taken', $kind, $host, $port); next }
    push @sockets, [$s, $kind, $host, $port];
  }
  say_line('ready');
  for (;;) {
    my $read = '';
    vec($read, fileno($_->[0]), 1) = 1 for @sockets;
    vec($read, fileno(STDIN), 1) = 1;
    select($read, undef, undef, undef);
    if (vec($read, fileno(STDIN), 1)) { exit(0) if !sysread(STDIN, my $bytes, 100) }
    for (@sockets) {
      my ($s, $kind, $host, $port) = @$_;
      next if !vec($read, fileno($s), 1);
      if ($kind eq 'packets') { packet($s) }
      elsif ($kind eq 'tcp') { accept(my $client, $s); say_line('tcp', $host, $port); close($client) }
      else { my $from = recv($s, my $bytes, 2000, 0); say_line('udp', $host, $port); send($s, 'here', 0, $from) if $from }
    }
  }
}

# One line per packet that asks for something: TCP's first, any datagram, any echo request.
sub packet {
  my ($s) = @_;
  my $from = recv($s, my $frame, 400, 0);
  # Packets that leave here are shown to a sniffer too.
  return if !defined $from || unpack('x10 C', $from) == 4;
  my $type = unpack('x12 n', $frame);
  my ($protocol, $source, $target, $body);
  if ($type == 0x0800) {
    my $length = (unpack('x14 C', $frame) & 15) * 4;
    $protocol = unpack('x23 C', $frame);
    ($source, $target) = map { dotted($_) } unpack('x26 a4 a4', $frame);
    $body = substr($frame, 14 + $length);
  } elsif ($type == 0x86dd) {
    $protocol = unpack('x20 C', $frame);
    ($source, $target) = map { colons($_) } unpack('x22 a16 a16', $frame);
    $body = substr($frame, 54);
  } else { return }
  if ($protocol == 6) {
    my ($source_port, $port, $flags) = unpack('n n x9 C', $body);
    say_line('tcp', $target, $port, "$source:$source_port") if ($flags & 0x12) == 0x02;
  } elsif ($protocol == 17) {
    my ($source_port, $port) = unpack('n n', $body);
    say_line('udp', $target, $port, "$source:$source_port");
  } elsif ($protocol == 1 || $protocol == 58) {
    my $kind = unpack('C', $body);
    say_line('ping', $target, 0, $source) if $kind == 8 || $kind == 128;
  }
}

my $use = shift(@ARGV) // '';
if ($use eq 'attempt') { attempt(@ARGV) }
elsif ($use eq 'receive') { receive(@ARGV) }
else { die "attempt or receive\n" }
