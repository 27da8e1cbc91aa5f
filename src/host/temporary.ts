/** Temporary folders that say in their name who made them: what a crash left is told from what is in use. */
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from './fault.ts'
import { isMakerGone, makerMark, makerShape } from './maker.ts'
import { temporaryPlace } from './path.ts'

/** What ours are for; the first word of their names. */
const purposes = ['tri-probe', 'tri-trial', 'tri-doctor', 'tri-audit', 'tri-chaos'] as const
export type Purpose = (typeof purposes)[number]

/** Short, because sockets are made in some of them. */
const shapeOf = new RegExp(`^(?:${purposes.join('|')})-${makerShape}-\\w{6}$`)

/** Makes one, 0700, in `parent`; by default where the machine keeps them. Faults: `no-temporary`. */
export const makeTemporary = (purpose: Purpose, parent = temporaryPlace()): Promise<string> =>
  mkdtemp(join(parent, `${purpose}-${makerMark()}-`)).catch((error: NodeJS.ErrnoException) => {
    const hint = 'export TMPDIR=/a/folder/of/yours'
    throw new Fault('no-temporary', `nothing can be made in ${parent}: ${error.code}`, { cause: error, hint })
  })

/** True for the name of one, whoever made it. */
export const isTemporary = (name: string): boolean => shapeOf.test(name)

/** True for the name of one whose maker is gone. */
export const isAbandoned = (name: string): boolean => isMakerGone((shapeOf.exec(name) ?? []).slice(1))
