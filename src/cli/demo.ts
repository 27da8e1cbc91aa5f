/** demo: the whole product on a scratch repository, with simulated models. */
import type { Act } from './context.ts'

export const demo: Act = async ({ env, json, draw, isTerminal, columns }) => {
  const { demo: play } = await import('../daemon/demo.ts')
  return play({ env, json, out: draw, isTerminal, columns: Number.isFinite(columns) ? columns : 120 })
}
