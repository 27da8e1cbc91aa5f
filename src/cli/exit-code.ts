/** Exit codes, as every verb uses them; the last two are those of sysexits.h (EX_SOFTWARE, EX_TEMPFAIL). */
export const exitCode = { done: 0, refused: 1, usage: 2, bug: 70, tryAgain: 75 } as const
