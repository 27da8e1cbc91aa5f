import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import { isFault } from './fault.ts'
import { openTranscript, readTranscript, type TranscriptLine } from './transcript.ts'

async function transcriptFile(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-transcript-'))
  context.after(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'att_1')
}

const all = async (lines: AsyncIterable<TranscriptLine>) => {
  const read: string[] = []
  for await (const { stream, text } of lines) read.push(`${stream}: ${text}`)
  return read
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

test('a transcript holds every line of every stream in order, scrubbed, and its end describes the file', async (context) => {
  const file = await transcriptFile(context)
  const transcript = await openTranscript(file, ['hunter22', 'two\nlines of it'])
  transcript.write('stdout', 'ü first')
  transcript.write('note', 'gate test: green')
  transcript.write('stderr', 'password hunter22 and sk-ant-0123456789abcdefgh')
  transcript.write('stdout', 'begin two')
  transcript.write('note', 'between')
  transcript.write('stdout', 'lines of it end')
  transcript.write('stdout', '')
  const end = await transcript.close()
  const bytes = await readFile(file)
  assert.equal(
    bytes.toString(),
    '1 ü first\n# gate test: green\n2 password [redacted] and [redacted]\n# between\n1 begin [redacted] end\n1 \n',
  )
  assert.deepEqual(end, { bytes: bytes.length, lines: 6, sha256: sha256(bytes) })
  assert.deepEqual(await transcript.close(), end)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
})

test('a line whose end was cut off shows no beginning of a secret there, wherever it was cut', async (context) => {
  const secret = 'hunter2-0123456789'
  const file = await transcriptFile(context)
  const transcript = await openTranscript(file, [secret])
  for (let length = 1; length < secret.length; length++)
    transcript.write('stdout', `a line ${secret.slice(0, length)}`, true)
  transcript.write('stdout', 'a line that was cut nowhere near one', true)
  transcript.write('stdout', secret.slice(0, 9))
  await transcript.close()
  assert.deepEqual((await readFile(file, 'utf8')).split('\n'), [
    ...Array.from(secret.slice(1), () => '1 a line [redacted]'),
    '1 a line that was cut nowhere near one',
    `1 ${secret.slice(0, 9)}`,
    '',
  ])
})

test('a transcript opened again goes on where it ended, and its hash covers the whole file', async (context) => {
  const file = await transcriptFile(context)
  for (const line of ['one', 'two']) {
    const transcript = await openTranscript(file, [])
    transcript.write('stdout', line)
    await transcript.close()
  }
  const transcript = await openTranscript(file, [])
  assert.deepEqual(await transcript.close(), { bytes: 12, lines: 2, sha256: sha256(Buffer.from('1 one\n1 two\n')) })
})

test('a flood is cut at the limit, and the transcript says so', async (context) => {
  const file = await transcriptFile(context)
  const transcript = await openTranscript(file, [], 40)
  for (let line = 0; line < 100; line++) transcript.write('stdout', 'ten bytes.')
  const { lines } = await transcript.close()
  assert.deepEqual(
    [lines, await all(readTranscript(file))],
    [4, [...Array.from({ length: 3 }, () => 'stdout: ten bytes.'), 'note: the rest is not kept: more than 40 bytes']],
  )
})

test('reading goes on from any offset it was given, and a file that is not there is empty', async (context) => {
  const file = await transcriptFile(context)
  assert.deepEqual(await all(readTranscript(file)), [])
  const transcript = await openTranscript(file, [])
  for (const line of ['one', 'zwölf', 'three']) transcript.write('stdout', line)
  await transcript.close()
  const offsets: number[] = []
  for await (const { next } of readTranscript(file)) offsets.push(next)
  assert.deepEqual(await Promise.all(offsets.map((from) => all(readTranscript(file, from)))), [
    ['stdout: zwölf', 'stdout: three'],
    ['stdout: three'],
    [],
  ])
})

test('following shows lines as they are written and stops after the last one', async (context) => {
  const file = await transcriptFile(context)
  const world = virtualWorld()
  let ended = false
  const lines = readTranscript(file, 0, { timer: world.timer, ended: () => ended })
  const next = async () => {
    const waiting = lines.next()
    await world.advance(100)
    return (await waiting).value?.text
  }
  const first = lines.next()
  await world.settle()
  const transcript = await openTranscript(file, [])
  transcript.write('stdout', 'one')
  await world.advance(100)
  assert.equal((await first).value?.text, 'one')
  transcript.write('stderr', 'two')
  assert.equal(await next(), 'two')
  transcript.write('stderr', 'three')
  await transcript.close()
  ended = true
  assert.equal(await next(), 'three')
  assert.equal(await next(), undefined)
})

test('a transcript is never written through a link', async (context) => {
  const file = await transcriptFile(context)
  await writeFile(`${file}-other`, '')
  await symlink(`${file}-other`, file)
  await assert.rejects(openTranscript(file, []), (error) => isFault(error, 'transcript-unwritable'))
})

test(
  'a write that failed is told at the end',
  { skip: process.platform !== 'linux' && 'only Linux lists open files in /proc' },
  async (context) => {
    const file = await transcriptFile(context)
    const world = virtualWorld()
    const transcript = await openTranscript(file, [])
    const { readdirSync, readlinkSync, closeSync, openSync } = await import('node:fs')
    const descriptor = readdirSync('/proc/self/fd').find((each) => {
      try {
        return readlinkSync(`/proc/self/fd/${each}`) === file
      } catch {
        return false
      }
    })
    closeSync(Number(descriptor)) // takes the disk away: the next file opened for reading gets this number
    const other = openSync('/dev/null', 'r')
    assert.equal(other, Number(descriptor))
    transcript.write('stdout', 'lost')
    await world.settle()
    await assert.rejects(transcript.close(), (error) => {
      assert.ok(isFault(error, 'transcript-unwritable'))
      return (error.cause as NodeJS.ErrnoException).syscall === 'write'
    })
  },
)
