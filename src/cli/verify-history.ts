/** verify-history: an independent look at everything that landed. */
import { isRefusal } from '../core/refusal.ts'
import { findRepository } from './repository.ts'
import type { Act } from './context.ts'
import { withDatabase } from './context.ts'

export const verifyHistory: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const named = said.text('repo')
    const repo = named === undefined ? null : await database.read((reader) => findRepository(reader, context, named))
    if (isRefusal(repo)) return repo
    const { verifyHistory: verify } = await import('../daemon/verify.ts')
    return verify({ env: context.env, repo: repo?.id ?? null, json: context.json, out: context.out })
  })
