/** When to try again and when to stop trying. The random part is handed in, so that this stays a function. */
export type RetryPolicy = {
  attempts: number
  firstMs: number
  factor: number
  capMs: number
  /** ± this share of the delay. */
  jitter: number
  /** The same failure this often is a fact, not bad luck. */
  sameSignature: number
}

/** Milliseconds until the next attempt after `failures` failures; `chance` in [0, 1). */
export function delayMs(policy: RetryPolicy, failures: number, chance: number): number {
  const plain = Math.min(policy.capMs, policy.firstMs * policy.factor ** Math.max(0, failures - 1))
  return Math.round(plain * (1 + policy.jitter * (2 * chance - 1)))
}

/** True when another attempt of this step is allowed after these failures. */
export function mayRetry(policy: RetryPolicy, signatures: readonly (string | null)[]): boolean {
  if (signatures.length >= policy.attempts) return false
  const last = signatures.at(-1)
  return last == null || signatures.filter((each) => each === last).length < policy.sameSignature
}
