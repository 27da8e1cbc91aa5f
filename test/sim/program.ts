/**
 * What is started inside a box: agents of every temper, gates, hand-offs, proofs. What an agent wrote and what a gate saw is decided here and nowhere
 * else; the auditor compares it with what the log claims.
 */
import fs from 'node:fs'
import { join } from 'node:path'
import type { Box } from '../../src/sandbox/sandbox.ts'
import type { Dice } from './chance.ts'
import { isDark, nextTime, type Machine, type Program, type Self } from './machine.ts'

/** Files of every simulated repository that agents change. */
export const files = ['f0', 'f1', 'f2', 'f3', 'f4', 'f5', 'f6', 'f7'].map((name) => `src/${name}.txt`)

/** Which program a box starts. */
export const programsOf =
  (machine: Machine) =>
  ({ argv }: Box): Program => {
    if (argv[0] !== '/bin/sh') return (self) => agent(machine, self)
    const command = argv[2] ?? ''
    if (command.includes('git bundle create')) return (self) => handOff(machine, self)
    if (command.startsWith('prove ')) return (self) => prove(self, command.slice('prove '.length))
    if (command.startsWith('make deps')) return makeDependencies
    return (self) => gate(machine, self, command)
  }

const textsIn = (folder: string): string[] =>
  fs.readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    const path = join(entry.parentPath, entry.name)
    return entry.isFile() && !path.includes('/.git/') ? [fs.readFileSync(path, 'utf8')] : []
  })

async function handOff(machine: Machine, { box, sleep, attempt }: Self): Promise<number> {
  if (!fs.existsSync(box.area.work)) return 1 // as bubblewrap, which cannot bind what is not there
  await sleep(300)
  const commit = machine.git.handOff(box.area.work, box.area.out, box.env['BASE']!)
  if (commit !== null) machine.authors.set(commit, machine.authors.get(attempt) ?? 'nobody')
  return 0
}

async function makeDependencies({ box, sleep, say }: Self): Promise<number> {
  await sleep(5000)
  say('fetched 3 packages')
  fs.mkdirSync(join(box.area.work, 'deps'), { recursive: true })
  fs.writeFileSync(join(box.area.work, 'deps', 'made.txt'), 'dependencies\n')
  return 0
}

/** Red where a file says RED, and where two say PAIR: each was green alone. */
async function gate(machine: Machine, { box, sleep, say }: Self, command: string): Promise<number> {
  const { work } = box.area
  const dice = nextTime(machine, `gate ${command}`)
  await sleep(dice.between(5_000, 240_000))
  const texts = textsIn(work)
  if (!machine.isCalm && dice.hits(0.02)) return 137 // the machine was too small that day
  const pairs = texts.filter((text) => text.includes('PAIR')).length
  const isRed = texts.some((text) => text.includes('RED')) || pairs > 1
  say(isRed ? 'not ok' : 'ok')
  if (isRed) return 1
  machine.green.add(`${command} ${machine.git.treeOfFolder(work)}`)
  return 0
}

async function prove({ box, sleep }: Self, bug: string): Promise<number> {
  await sleep(2000)
  return textsIn(box.area.work).some((text) => text.includes(bug)) ? 1 : 0
}

const tempers = [
  ['honest', 0.7],
  ['hangs', 0.04],
  ['mute', 0.03],
  ['garbled', 0.03],
  ['crashes', 0.04],
  ['gives up', 0.03],
  ['lies', 0.04],
  ['asks nobody', 0.03],
  ['slow', 0.03],
  ['stubborn', 0.03],
] as const
export type Temper = (typeof tempers)[number][0]

function temperOf(dice: Dice): Temper {
  let roll = dice.roll()
  for (const [temper, share] of tempers) if ((roll -= share) < 0) return temper
  return 'honest'
}

type Prompt = { role: 'plan' | 'implement' | 'review' | 'crosscheck'; title: string; text: string; isFirst: boolean }

function readPrompt(text: string): Prompt {
  const heading = /^# (\S+)/.exec(text)?.[1] ?? ''
  const role = { Plan: 'plan', Implement: 'implement', Review: 'review' }[heading] ?? 'crosscheck'
  const title = /^Task(?: the change is for)?: (.*)$/m.exec(text)?.[1] ?? '?'
  return { role: role as Prompt['role'], title, text, isFirst: text.includes('none: this is the first') }
}

/** An agent, of a temper that is drawn where none is named. */
export async function agent(machine: Machine, self: Self, named?: Temper): Promise<number> {
  const flag = (name: string) => self.box.argv[self.box.argv.indexOf(name) + 1] ?? ''
  const model = flag('--model')
  const prompt = readPrompt(self.box.stdin ?? '')
  if (prompt.role === 'implement') machine.authors.set(self.attempt, flag('--family'))
  if (prompt.role === 'review')
    machine.reviewed.add(`${flag('--family')} ${machine.git.treeOfFolder(self.box.area.work)}`)
  const dice = nextTime(machine, `${prompt.role} ${prompt.title} ${model}`)
  const temper = named ?? (machine.isCalm || isDark(machine) ? 'honest' : temperOf(dice)) // without a network none gets so far as to be anything else
  const print = (event: object) => self.say(JSON.stringify(event))
  print({ type: 'started', session: flag('--session'), model })
  if (temper === 'stubborn') self.ignoreTerm()
  if (temper === 'hangs' || temper === 'stubborn') await self.sleep(30 * 24 * 3_600_000)
  if (temper === 'slow') for (let hour = 0; hour < dice.between(4, 30); hour++) await pace(self, print)
  if (temper !== 'asks nobody') {
    const refused = await converse(self, dice, model, print)
    if (refused) {
      print({ type: 'final', ok: false, text: '', ...refused })
      return 1
    }
  }
  if (temper === 'crashes') return 139
  if (temper === 'mute') return 0
  if (temper === 'gives up') {
    print({ type: 'final', ok: false, text: 'I could not do it', message: 'I could not do it' })
    return 1
  }
  if (temper === 'garbled') self.say('{"type":"final","ok":')
  const text = temper === 'lies' ? 'Done. All 128 tests pass.' : answer(machine, self, dice, prompt)
  print({ type: 'final', ok: true, text })
  return 0
}

/** Works, and is seen to. */
async function pace({ sleep }: Self, print: (event: object) => void): Promise<void> {
  for (let step = 0; step < 3; step++) {
    await sleep(180_000)
    print({ type: 'text', text: 'still at it' })
  }
}

/** A few requests, asked again where that may help. Null, or with what the agent ends. */
async function converse(
  { ask, sleep }: Self,
  dice: Dice,
  model: string,
  print: (event: object) => void,
): Promise<{ status?: number; message: string } | null> {
  const rounds = dice.between(1, 3)
  for (let round = 0; round < rounds; round++)
    for (let tries = 1; ; tries++) {
      const { status, input, output } = await ask({
        model,
        input: dice.between(2_000, 30_000),
        output: dice.between(500, 4_000),
      })
      if (status === 200) {
        print({ type: 'usage', input, cachedInput: 0, cacheWrite: 0, output })
        break
      }
      const mayPass = status === null || status === 429 || status >= 500
      if (!mayPass || tries === 3)
        return { ...(status === null ? {} : { status }), message: `the provider said ${status}` }
      print({ type: 'retry', status, delayMs: 20_000, reason: `the provider said ${status}` })
      await sleep(20_000)
    }
  return null
}

const fenced = (json: object): string => `\`\`\`json\n${JSON.stringify(json)}\n\`\`\``

function answer(machine: Machine, self: Self, dice: Dice & { time: number }, prompt: Prompt): string {
  switch (prompt.role) {
    case 'plan':
      return fenced(planFor(machine, dice, prompt))
    case 'review':
      return fenced(reviewOf(machine, dice, prompt))
    case 'crosscheck': {
      const isTrue = /claims BUG-/.test(prompt.text) && /\+.*BUG-/.test(prompt.text)
      const verdict = !machine.isCalm && dice.hits(0.15) ? 'undecided' : isTrue ? 'confirmed' : 'dismissed'
      return fenced({ verdict, evidence: 'I read it' })
    }
    case 'implement':
      return work(machine, self, dice, prompt)
  }
}

function planFor(machine: Machine, dice: Dice, { title }: Prompt) {
  const parts = dice.hits(machine.isCalm ? 0 : 0.2) && !title.includes('.') ? dice.between(2, 3) : 0
  const subTasks = Array.from({ length: parts }, (_, index) => ({
    title: `${title}.${index + 1}`,
    after: index > 0 && dice.hits(0.5) ? [index - 1] : [],
  }))
  return { approach: 'change the files', files: [dice.pick(files)], acceptance: ['it works'], subTasks }
}

function reviewOf(machine: Machine, dice: Dice, { text }: Prompt) {
  const bug = /^\+.*(BUG-\S+)/m.exec(text)?.[1]
  const finding = (claim: string, proof: string | null, severity = 'high') => ({
    file: files[0]!,
    severity,
    claim,
    proof,
  })
  const findings = []
  if (bug && dice.hits(0.8)) findings.push(finding(`it claims ${bug}`, dice.hits(0.5) ? `prove ${bug}` : null))
  if (!machine.isCalm && dice.hits(0.1))
    findings.push(finding('it is wrong', dice.hits(0.3) ? 'prove NOTHING' : null, dice.pick(['high', 'low'])))
  return { summary: 'I read all of it', findings }
}

/** Changes one or two files, now and then with something wrong in them; who was told what is wrong does better. */
function work(machine: Machine, { box }: Self, dice: Dice & { time: number }, { title, isFirst }: Prompt): string {
  const wrong = (word: string, p: number) => (isFirst && !machine.isCalm && dice.hits(p) ? ` ${word}` : '')
  const many = dice.between(1, 2)
  for (let count = 0; count < many; count++) {
    const flaws = `${wrong(`BUG-${title.replaceAll(/\W/g, '')}`, 0.15)}${wrong('RED', 0.08)}${wrong('PAIR', 0.1)}`
    fs.writeFileSync(join(box.area.work, dice.pick(files)), `${title} v${dice.time}${flaws}\n`)
  }
  if (wrong('protected', 0.04)) fs.writeFileSync(join(box.area.work, 'package.json'), `{"by":"${title}"}\n`)
  return `I did ${title}.`
}
