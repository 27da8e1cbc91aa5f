/** An expected "no". Returned, never thrown: `why` is for people, `refused` for programs, `hint` says what to type next. */
export type Refusal = { refused: string; why: string; hint?: string }

export const refuse = (refused: string, why: string, hint?: string): Refusal =>
  hint === undefined ? { refused, why } : { refused, why, hint }

export const isRefusal = (value: unknown): value is Refusal =>
  typeof value === 'object' && value !== null && typeof (value as Refusal).refused === 'string'
