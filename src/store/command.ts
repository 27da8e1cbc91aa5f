/** The answers of commands that may come twice: over the daemon's socket, and from whoever did not want to wait for it. */
import type { Reader, Tx } from './database.ts'

/** A command comes a second time within seconds or never: the daemon takes none that is late. Milliseconds. */
const keptMs = 60 * 60 * 1000

/** What a command with this id was answered; null where there was none. */
export async function readAnswer(reader: Reader, id: string): Promise<{ answer: unknown } | null> {
  const row = await reader.get<{ answer: string }>('select answer from command where id = :id', { id })
  return row ? { answer: JSON.parse(row.answer) as unknown } : null
}

/** Writes an answer down, and strikes out those that nobody can ask for again. */
export async function keepAnswer(tx: Tx, id: string, answer: unknown, at: number): Promise<void> {
  await tx.run('delete from command where at < :old or at > :at', { old: at - keptMs, at: at + keptMs })
  await tx.run('insert into command (id, at, answer) values (:id, :at, :answer)', {
    id,
    at,
    answer: JSON.stringify(answer),
  })
}
