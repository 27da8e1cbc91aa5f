/** The cool-downs of models, as rows: what closes one outlives a restart. Not a projection: the wire is asked, not the log. */
import type { KeptCoolDown } from '../core/cool-down.ts'
import type { Reader, Tx } from './database.ts'

export type CoolDownRow = KeptCoolDown & { family: string; model: string }

/** Writes down what closes a model, or that nothing does. */
export async function keepCoolDown(tx: Tx, { family, model, ...state }: CoolDownRow): Promise<void> {
  await tx.run(
    `insert into cool_down (family, model, state) values (:family, :model, :state)
     on conflict (family, model) do update set state = :state`,
    { family, model, state: JSON.stringify(state) },
  )
}

/** Every model of which something was written down. */
export const readCoolDowns = async (reader: Reader): Promise<CoolDownRow[]> =>
  (
    await reader.all<{ family: string; model: string; state: string }>('select family, model, state from cool_down')
  ).map(({ family, model, state }) => ({ family, model, ...(JSON.parse(state) as KeptCoolDown) }))
