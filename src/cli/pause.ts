/** pause and resume: of everything, a lane, a repository, a family, or one task (which is a hold). Answers after the commit and wakes the daemon. */
import type { PauseScope } from '../command/pause.ts'
import { oneOf } from '../core/nearest.ts'
import { plural } from '../core/quantity.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { loadConfig } from '../host/config.ts'
import type { Database } from '../store/database.ts'
import { countUnder } from '../store/pause.ts'
import { findRepository } from './repository.ts'
import { ask } from './ask.ts'
import { answer, withDatabase, type Act, type Context, type Said } from './context.ts'
import { hold, release } from './decide.ts'
import { readPaused, type Paused } from './paused.ts'

export const pause: Act = async (context, said) => {
  const one = onlyOne(said)
  if (isRefusal(one)) return one
  if (one === 'task') return hold(context, said)
  return withDatabase(context, async (database) => {
    const scope = await scopeOf(context, database, said, true)
    if (isRefusal(scope)) return scope
    const wish = { ...scope, why: said.text('why') ?? '', now: said.flag('now') === true }
    const { said: paused, heard } = await ask(context, database, 'pause', wish)
    const named = (await database.read(readPaused)).find(({ what, id }) => what === scope.what && id === scope.name)!
    if (isRefusal(paused)) return already(paused, named)
    const underWay = await database.read((reader) => countUnder(reader, scope))
    const fate = paused.now ? 'is ended and starts over later' : 'goes on to its end'
    const rest = underWay === 0 ? '' : `\nWhat is under way (${plural(underWay, 'attempt')}) ${fate}.`
    const text = `${named.told[0]!.toUpperCase()}${named.told.slice(1)}.\nNothing new of it starts until: ${named.undo}${rest}`
    return answer(context, { pause: named, underWay, daemonHeard: heard }, text)
  })
}

/** Known by its name, and with what to type for it and nothing else. */
function already(refused: Refusal, named: Paused | undefined): Refusal {
  if (refused.refused !== 'already-paused' || !named) return refused
  const { told, undo, now } = named
  return { ...refused, why: told, hint: now ? undo : `${undo}, or ${undo.replace('resume', 'pause')} --now` }
}

export const resume: Act = async (context, said) => {
  const one = onlyOne(said)
  if (isRefusal(one)) return one
  if (one === 'task') return release(context, said)
  return withDatabase(context, async (database) => {
    const scope = await scopeOf(context, database, said, false)
    if (isRefusal(scope)) return scope
    const before = (await database.read(readPaused)).find(({ what, id }) => what === scope.what && id === scope.name)
    const { said: resumed, heard } = await ask(context, database, 'resume', scope)
    const still = await database.read(readPaused)
    if (isRefusal(resumed))
      return still.length > 0 ? { ...resumed, hint: still.map(({ undo }) => undo).join(', or ') } : resumed
    const rest = still.map(({ told, undo }) => `\nStill paused: ${told} → ${undo}`).join('')
    const later = heard ? '' : ' The daemon is down: tri-agent up --detach'
    return answer(
      context,
      { resumed: before, paused: still, daemonHeard: heard },
      `Resumed; waiting counts from now.${later}${rest}`,
    )
  })
}

const scopes = ['lane', 'repo', 'family'] as const

/** Which one thing was named. Refuses `one-at-a-time`. */
function onlyOne(said: Said): 'task' | 'all' | (typeof scopes)[number] | Refusal {
  const [word] = said.args
  const named = scopes.filter((each) => said.text(each) !== undefined)
  if (named.length + (word === undefined ? 0 : 1) > 1)
    return refuse('one-at-a-time', 'one thing at a time is paused or resumed', 'once for each')
  return named[0] ?? (word === undefined || word === 'all' ? 'all' : 'task')
}

/** What was named, as it is known in the database. `checked`: it must exist; what is paused may be resumed even where it no longer does. */
async function scopeOf(
  context: Context,
  database: Database,
  said: Said,
  checked: boolean,
): Promise<PauseScope | Refusal> {
  const repo = said.text('repo')
  if (repo !== undefined) {
    const row = await database.read((reader) => findRepository(reader, context, repo))
    return isRefusal(row) ? row : { what: 'repo', name: row.id }
  }
  const family = said.text('family')
  if (family !== undefined) {
    const known = checked ? await knownFamily(context, family) : family
    return isRefusal(known) ? known : { what: 'family', name: known }
  }
  const lane = said.text('lane')
  return lane === undefined ? { what: 'all', name: 'all' } : { what: 'lane', name: lane }
}

export async function knownFamily({ paths, env }: Context, family: string): Promise<string | Refusal> {
  const loaded = await loadConfig({ file: paths.configFile, env })
  return isRefusal(loaded) ? loaded : oneOf('family', family, Object.keys(loaded.settings.families))
}
