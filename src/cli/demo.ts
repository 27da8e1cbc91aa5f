/** demo: the whole product on a scratch repository, with simulated models. */
import type { Act } from './context.ts'

export const demo: Act = async ({ env, json, draw, isTerminal, columns }, said) => {
  const { demo: play } = await import('../daemon/demo.ts')
  const scenario = said.text('scenario') === 'overspend' ? { scenario: 'overspend' as const } : {}
  return play({ env, json, out: draw, isTerminal, columns: Number.isFinite(columns) ? columns : 120, ...scenario })
}
