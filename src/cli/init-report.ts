/** What init says: what it found, what is missing with the command that mends it, what review can be kept, and what to type next. Writes nothing. */
import { statfs } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { checkOutside, lackingIn, type Outside } from '../core/outside.ts'
import { showSize } from '../core/quantity.ts'
import { defaultSettings, type Surveyed } from '../core/setting.ts'
import type { Detected } from '../host/detect.ts'
import { showKeySource } from '../host/key.ts'
import type { RepoRow } from '../store/task.ts'
import type { Context } from './context.ts'
import { wrap } from './format.ts'
import { pinnedModels, reviewPromise } from './init-file.ts'
import type { Written } from './init-write.ts'

export type Space = { cloneBytes: number; historyBytes: number; slots: number; neededBytes: number; freeBytes: number }

export type Found = {
  repository: RepoRow
  isBare: boolean
  /** What the base names and does not hold. */
  outside: Outside
  isCommitted: boolean
  files: Written[]
  families: Surveyed[]
  /** Names of the families that could start now. */
  usable: string[]
  detected: Detected
  toolchain: string[]
  space: Space
}

/** What work here takes: a clone for each slot and one made ahead, the history once in our mirror. numbers.md: nothing starts below 2 GB. */
export async function measure({ paths }: Context, bytes: { tree: number; history: number }): Promise<Space> {
  const { implementer, reviewer, architect, gate } = defaultSettings(availableParallelism()).slots
  const slots = implementer + reviewer + architect + gate
  const { bavail, bsize } = await statfs(paths.stateFolder)
  return {
    cloneBytes: bytes.tree,
    historyBytes: bytes.history,
    slots,
    neededBytes: bytes.tree * (slots + 1) + bytes.history,
    freeBytes: bavail * bsize,
  }
}

const leastFreeBytes = 2 * 1024 ** 3

export function asText(context: Context, found: Found): { text: string; next: string[] } {
  const { repository, files, families, usable, detected, space } = found
  const next = nextSteps(found)
  const lines = [
    `${repository.name} is known, work starts from ${repository.base}.`,
    ...files.map(({ path, action }) => `  ${action.padEnd(9)}  ${path}`),
    'Found:',
    ...foundLines(detected, space),
    ...checkOutside(found.outside).flatMap(({ name, state, found: what }) => (state === 'ok' ? [row(name, what)] : [])),
    ...families.map((each) => row(each.family, wrap(familyLine(each), context.columns, ' '.repeat(13)).trimStart())),
    wrap(`Review: ${reviewPromise(usable.length)}.`, context.columns),
    ...warnings(found).map((each) => wrap(`! ${each}`, context.columns)),
    'Type next:',
    ...next.map((each) => `  ${each}`),
  ]
  return { text: lines.join('\n'), next }
}

const row = (name: string, text: string): string => `  ${name.padEnd(10)} ${text}`

function foundLines({ setup, setupKey, gates, toolchain }: Detected, space: Space): string[] {
  const { cloneBytes, slots, neededBytes, freeBytes } = space
  return [
    ...(setup.length > 0 ? [row('set-up', `${setup.join(' && ')} (again when ${setupKey.join(', ')} change)`)] : []),
    ...gates.map(({ name, command }) => row(name, command)),
    ...(toolchain.length > 0 ? [row('tools', toolchain.join(', '))] : []),
    row(
      'space',
      `${sizeText(cloneBytes)} a clone, ${sizeText(neededBytes)} for ${slots} at once; ${sizeText(freeBytes)} are free`,
    ),
  ]
}

/** In the largest unit that leaves something to read. */
const sizeText = (bytes: number): string => {
  const unit = bytes >= 10 * 1024 ** 3 ? 1024 ** 3 : bytes >= 1024 ** 2 ? 1024 ** 2 : 1024
  return showSize(Math.ceil(bytes / unit) * unit)
}

function familyLine({ family, agent, version, missing, key }: Surveyed): string {
  const client = missing === null ? `${agent} ${version}` : `! ${missing.why}: ${missing.hint}`
  const held = key === null ? `! no key: tri-agent keys set ${family}` : `key ${showKeySource(key)}`
  const model = key === null ? '' : `, ${pinnedModels[family] ?? ''}`
  return `${client}; ${held}${model}`
}

function warnings({ detected, space, isBare, outside, usable }: Found): string[] {
  const { neededBytes, freeBytes } = space
  return [
    ...detected.missing,
    ...lackingIn(outside),
    ...(isBare ? ['this repository has no work tree: work can land here, and nothing is written into it'] : []),
    ...(usable.length === 0 ? ['no family has both a client and a key: nothing can start'] : []),
    ...(freeBytes - neededBytes < leastFreeBytes
      ? [
          `space is short: ${sizeText(neededBytes)} and 2 GB beside are wanted, ${sizeText(freeBytes)} are free; free some, or set fewer slots`,
        ]
      : []),
  ]
}

function nextSteps({ files, isCommitted, isBare, families, usable, repository }: Found): string[] {
  const lacking = families.find(({ key }) => key === null)
  const noClient = families.find(({ key, missing }) => key !== null && missing !== null)
  return [
    ...(files.some(({ action }) => action === 'kept')
      ? ['tri-agent init --yes   # makes the changes shown above']
      : []),
    ...(isCommitted
      ? []
      : [
          isBare
            ? `commit a tri-agent.yaml to ${repository.base} from a clone of this repository`
            : `git add tri-agent.yaml && git commit -m "Say how to test this"   # on ${repository.base}, after a look at it`,
        ]),
    ...(usable.length === 0 && noClient ? [noClient.missing?.hint ?? ''] : []),
    ...(usable.length === 0 && !noClient && lacking ? [`tri-agent keys set ${lacking.family}`, 'tri-agent init'] : []),
    'tri-agent up --detach',
    'tri-agent add "what you want"',
  ]
}
