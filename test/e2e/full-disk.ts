/**
 * A disk that fills up under the daemon, carried out by full.test.ts inside a mount namespace whose TMPDIR is a tmpfs of its own. Prints what was
 * seen, one JSON value; exits with 0 when it came to its end.
 */
import { statfsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { capture } from '../../src/host/process.ts'
import { attemptsOf } from '../../src/store/task.ts'
import { approving, rig, world, writing } from './rig.ts'

const mount = async (...words: string[]): Promise<void> => {
  const done = await capture(world.spawn, {
    file: 'mount',
    args: words,
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  })
  if (done.code !== 0) throw new Error(`mount ${words.join(' ')}: ${done.stderr}`)
}
const resize = (kilobytes: number) => mount('-o', `remount,size=${kilobytes}k`, tmpdir())

/** As small as it can be: others write meanwhile, and a size below what is used is refused. */
const shrink = async (more = 0): Promise<void> => {
  const failed = await resize(usedKilobytes() + more).then(
    () => null,
    (error: Error) => error,
  )
  if (failed !== null && more > 4096) throw failed
  if (failed !== null) await shrink(more + 8)
}
const usedKilobytes = (): number => {
  const { blocks, bfree, bsize } = statfsSync(tmpdir())
  return Math.ceil(((blocks - bfree) * bsize) / 1024)
}

const noted: string[] = []
const [full, well] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
await using shop = await rig({
  rules: [writing('Sell tea'), writing('Sell coffee'), approving],
  onNote(text) {
    noted.push(text)
    if (text.includes('nothing new starts')) full.resolve()
    if (text.includes('can be written again')) well.resolve()
  },
})
const { port, daemon } = await shop.up()
const tea = await shop.add('Sell tea')
await shop.until('both reviewers are at work', async (reader) => {
  const rows = (await attemptsOf(reader, tea)).filter(({ step }) => step === 'review')
  return rows.length === 2 && rows.every(({ state }) => state !== 'admitted')
})
await shrink()
await full.promise
const health = (await (await fetch(`http://127.0.0.1:${port}/health`)).json()) as {
  ready: boolean
  trouble: { code: string }
}
const status = await shop.type('status', '--json')
const added = await shop.type('add', 'Sell water')
await resize(4 * 1024 * 1024)
await well.promise
await shop.state(tea, 'done')
// from here on no transcript can be written to its end
const tiny = join(shop.home, 'tiny')
await mkdir(tiny)
await mount('-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', tiny)
daemon.transcriptFile = (attempt) => join(tiny, attempt)
const coffee = await shop.add('Sell coffee')
await shop.state(coffee, 'done')
const ends = (await shop.events(coffee)).flatMap((event) => (event.type === 'attempt.ended' ? [event] : []))
const reviews = (await shop.database.read((reader) => attemptsOf(reader, tea))).filter(({ step }) => step === 'review')
const seen = {
  ready: health.ready,
  trouble: health.trouble.code,
  status: [status.code, (JSON.parse(status.stdout) as { trouble: { code: string } | null }).trouble?.code],
  added: [added.code, added.stderr.split('\n')[0]!.replace('tri-agent: ', '')],
  reviews: [
    reviews.filter(({ outcome }) => outcome === 'passed').length,
    reviews.some(({ outcome }) => outcome === 'lost'),
  ],
  unwritten: [
    ends.every(({ outcome }) => outcome === 'passed'),
    ends.filter(({ transcript }) => transcript === null).length > 1,
  ],
  events: (await shop.events()).flatMap(({ type }) => (type.startsWith('store.') ? [type] : [])),
}
const umount = { file: 'umount', args: [tiny], cwd: '/', env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } }
await shop.down()
await capture(world.spawn, umount)
process.stdout.write(`${JSON.stringify(seen)}\n`)
