/**
 * A fault is the world being broken: disk, git, network, a program that is not there. Thrown, with a code for programs and a hint for people.
 * An expected "no" is a refusal and is returned (core/refusal.ts); a bug is any other Error and crashes.
 */
export class Fault extends Error {
  readonly code: string
  readonly hint: string | undefined

  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'Fault'
    this.code = code
    this.hint = options.hint
  }
}

export const isFault = (error: unknown, code?: string): error is Fault =>
  error instanceof Fault && (code === undefined || error.code === code)
