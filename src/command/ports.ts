/** What every command is given. */
import type { World } from '../host/world.ts'
import type { Database } from '../store/database.ts'

export type CommandPorts = {
  database: Database
  world: Pick<World, 'clock' | 'id'>
  /** Who asked, for the log: `person:ada`. */
  actor: string
}
