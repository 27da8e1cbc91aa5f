/** add: a wish becomes a task of the repository one stands in. Answers only after the commit. On the fast path: loads a parser only for a file. */
import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { parseUsd } from '../core/quantity.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { defaultSettings } from '../core/setting.ts'
import type { Wish } from '../core/wish.ts'
import type { TaskFile } from '../host/task-file.ts'
import type { RepoRow } from '../store/task.ts'
import { ask } from './ask.ts'
import { answer, withDatabase, type Act, type Context, type Said } from './context.ts'
import { briefTask } from './describe.ts'
import { pausedReader } from './paused.ts'
import { findRepository } from './repository.ts'

export const add: Act = async (context, said) => {
  const file = await readTaskFile(context, said)
  if (isRefusal(file)) return file
  return withDatabase(context, async (database) => {
    const repo = await database.read((reader) => findRepository(reader, context, said.text('repo')))
    if (isRefusal(repo)) return repo
    const wish = wishOf(repo, said, file)
    if (isRefusal(wish)) return wish
    if (said.flag('estimate') === true) return (await import('./estimate.ts')).showEstimate(context, database, wish)
    const path = context.env['PATH'] ?? '/usr/bin:/bin'
    const looking = import('../git/unfinished.ts').then(({ hasUncommitted }) =>
      hasUncommitted(context.world, { folder: repo.path, path }),
    ) // while the task is written
    const { said: task, heard } = await ask(context, database, 'add', wish)
    const uncommitted = await looking
    if (isRefusal(task)) return task
    const { id, lane, size, kind, step, after } = task
    const paused = (await database.read(pausedReader))(task)
    const next =
      paused !== null
        ? `Nothing of it starts: ${paused}. See: tri-agent status`
        : !heard
          ? 'The daemon is down, the task waits for it: tri-agent up --detach'
          : after.length > 0
            ? `It starts once ${after.join(', ')} is done: tri-agent watch`
            : `Next is ${step}, as soon as a slot is free: tri-agent watch`
    const from =
      uncommitted === false
        ? ''
        : `It starts from what is committed on ${repo.base}${uncommitted ? '; what is not committed here stays as it is, and is not seen' : ''}.\n`
    return answer(
      context,
      { task: briefTask(task), daemonHeard: heard, uncommitted },
      `Added ${id} to ${repo.name}: ${size} ${kind}, lane ${lane}.\n${from}${next}`,
    )
  })
}

const largestFile = 10 * 1024 * 1024

async function readTaskFile({ cwd }: Context, said: Said): Promise<TaskFile | null | Refusal> {
  const name = said.text('file')
  if (name === undefined) return null
  if (said.text('text') !== undefined)
    return refuse('text-twice', '--text and --file both say the text', 'leave one of them out')
  const written = name === '-' ? await readAll(process.stdin, 'stdin') : await readText(resolve(cwd, name), name)
  if (isRefusal(written)) return written
  const { parseTaskFile } = await import('../host/task-file.ts')
  const { taskTextBytes } = defaultSettings(1).sizes
  return parseTaskFile(written, { file: name === '-' ? 'stdin' : name, taskTextBytes })
}

async function readText(path: string, name: string): Promise<string | Refusal> {
  try {
    return await readAll(createReadStream(path), name)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return refuse('no-such-file', `there is no file ${name}`)
    return refuse('file-unreadable', `${name} cannot be read (${code})`)
  }
}

/** A pipe or a device says no size: it is read until it is too much. */
async function readAll(stream: AsyncIterable<Buffer>, name: string): Promise<string | Refusal> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream) {
    bytes += chunk.length
    if (bytes > largestFile) return refuse('text-too-long', `${name} is far too large for a task; it is not cut`)
    chunks.push(chunk)
  }
  return decode(Buffer.concat(chunks), name)
}

function decode(bytes: Buffer, name: string): string | Refusal {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return refuse('not-text', `${name} is not UTF-8 text`)
  }
}

/** Flags over the file; lists are joined. */
function wishOf(repo: RepoRow, said: Said, file: TaskFile | null): Wish | Refusal {
  const written = said.text('budget')
  const budgetNanoUsd = written === undefined ? (file?.budgetNanoUsd ?? null) : parseUsd(written)
  if (written !== undefined && budgetNanoUsd === null)
    return refuse('bad-budget', `--budget ${JSON.stringify(written)} is not an amount in dollars`, '--budget 2.50')
  const choose = (name: 'kind' | 'lane' | 'size') => {
    const value = said.text(name) ?? file?.[name] ?? undefined
    return value === undefined ? {} : { [name]: value }
  }
  return {
    repo: repo.id,
    title: said.args[0] ?? file?.title ?? '',
    text: said.text('text') ?? file?.text ?? '',
    ...choose('kind'),
    ...choose('lane'),
    ...choose('size'),
    tags: [...(file?.tags ?? []), ...said.texts('tag')],
    after: [...(file?.after ?? []), ...said.texts('after')],
    acceptance: [...(file?.acceptance ?? []), ...said.texts('accept')],
    budgetNanoUsd,
    ref: said.text('ref') ?? null,
    path: said.text('path') ?? file?.path ?? null,
  }
}
