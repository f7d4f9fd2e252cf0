/** Someone with a live session. */
export interface Person {
  id: string;
  email: string;
  name: string;
  sessionId: string;
}
