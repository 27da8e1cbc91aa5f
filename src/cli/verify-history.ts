/** verify-history: an independent look at everything that landed. */
import type { Act } from './context.ts'
import { withDatabase } from './context.ts'

export const verifyHistory: Act = (context, said) =>
  withDatabase(context, async () => {
    const { verifyHistory: verify } = await import('../daemon/verify.ts')
    return verify({ env: context.env, repo: said.text('repo') ?? null, json: context.json, out: context.out })
  })
