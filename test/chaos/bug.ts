/**
 * Hand-made bugs for chaos: what it must find, or it proves nothing. Loaded before the shipped program (`node --import`), whose source text it changes as it is
 * read; which bug comes in the query of this file's own URL. Texts that are not there any more are an error.
 */
import { registerHooks } from 'node:module'

type Edit = { file: string; find: string; put: string }
export type Bug = { about: string; edits: readonly Edit[] }

export const bugs: Readonly<Record<string, Bug>> = {
  'reaper-off': {
    about: 'nobody removes the folders of attempts whose daemon died',
    edits: [
      {
        file: 'src/daemon/daemon.ts',
        find: "  stack.use(startLoop(world, 'reaper', every(reapEveryMs), reaper(daemon, env), failed))\n",
        put: '  void [reaper, reapEveryMs]\n',
      },
    ],
  },
  'holds-forgotten': {
    about: 'what a dead daemon held is never charged or given back',
    edits: [
      {
        file: 'src/gateway/gateway.ts',
        find: 'return recoverHolds(tx, world.clock.now())',
        put: 'return { holds: 0, nanoUsd: 0, recoverHolds }',
      },
    ],
  },
}

const { searchParams } = new URL(import.meta.url)
const bug = bugs[searchParams.get('bug') ?? '']
if (bug)
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context)
      const edits = bug.edits.filter(({ file }) => url.endsWith(file))
      if (edits.length === 0) return loaded
      let source = new TextDecoder().decode(Buffer.from(loaded.source as Uint8Array))
      for (const { file, find, put } of edits) {
        if (!source.includes(find)) throw new Error(`${file} has no text to put a bug in: ${find}`)
        source = source.replace(find, () => put)
      }
      return { ...loaded, source }
    },
  })
