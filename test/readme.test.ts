/**
 * What the pages tell people to type is typed: every command is in the table of verbs, those of the README that need no daemon are carried out as a
 * newcomer would, and every link leads somewhere.
 */
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { verbs } from '../src/cli/verb.ts'
import { bundle, person } from './cli-rig.ts'
import { root } from './harvest.ts'

const pages = globSync(['*.md', '{docs,deploy,bench,test}/**/*.md'], {
  cwd: root,
  exclude: (name) => ['node_modules', 'fixtures'].includes(name.split('/').at(-1)!),
}).toSorted()
const textOf = (path: string) => readFileSync(join(root, path), 'utf8')

/** A line as a shell would cut it: words, quotes taken off, a comment left out. Throws for what needs a real shell. */
function wordsOf(line: string): string[] {
  const words: string[] = []
  for (const [, double, single, bare, sign] of line.matchAll(/"([^"]*)"|'([^']*)'|([^\s"'|&;<>]+)|([|&;<>]+)/g)) {
    if (bare?.startsWith('#') || sign !== undefined) break
    words.push(double ?? single ?? bare!)
  }
  return words
}

/** The lines of code blocks, fenced or indented, and everything in backticks. */
function commandsOf(text: string): { line: string; isBlock: boolean }[] {
  const fenced = [...text.matchAll(/^```\w*\n(.*?)^```/gms)].flatMap(([, body]) => body!.split('\n'))
  const prose = text.replaceAll(/^```\w*\n.*?^```/gms, '')
  const indented = [...prose.matchAll(/^ {4,}(\S.*)$/gm)].map(([, line]) => line!)
  const inline = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!)
  const split = (lines: readonly string[]) => lines.flatMap((line) => line.split('&&').map((part) => part.trim()))
  return [
    ...split([...fenced, ...indented]).map((line) => ({ line, isBlock: true })),
    ...split(inline).map((line) => ({ line, isBlock: false })),
  ]
}

type Said = { page: string; line: string; words: string[]; isBlock: boolean }
const said: Said[] = pages.flatMap((page) =>
  commandsOf(textOf(page)).map((each) => ({ page, ...each, words: wordsOf(each.line) })),
)
const ours = said.filter(({ words }) => words[0] === 'tri-agent' && words.length > 1)

/** What is wrong with a command of ours, or null. */
function mistakeIn([verbName = '', ...words]: readonly string[]): string | null {
  if (['--version', '--help'].includes(verbName)) return null
  const verb = verbs.find(({ name }) => name === verbName)
  if (!verb) return `there is no verb ${verbName}`
  let args = 0
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!
    if (!word.startsWith('-')) {
      const allowed = verb.args[args]
      if (!allowed) return `${verbName} takes fewer words than that`
      if (allowed.words && !allowed.words.includes(word)) return `${verbName} does not know ${word}`
      args += 1
      continue
    }
    if (['--help', '--json'].includes(word)) continue
    const option = verb.options.find(({ flags }) => flags.split(/[ ,]+/).includes(word))
    if (!option) return `${verbName} has no ${word}`
    if (!option.flags.includes('<')) continue
    index += 1
    const value = words[index]
    if (value === undefined) return `${word} needs a value`
    if (option.words && !option.words.includes(value)) return `${word} does not know ${value}`
  }
  return args < verb.args.filter(({ name }) => name.startsWith('<')).length ? `${verbName} needs more words` : null
}

test('every command of ours on every page is one the program knows', () => {
  assert.ok(pages.length > 8 && ours.length > 30, `${pages.length} pages, ${ours.length} commands`)
  assert.deepEqual(
    ours.flatMap(({ page, line, words, isBlock }) => {
      const isVerbAlone = !isBlock && words.length === 2 && verbs.some(({ name }) => name === words[1])
      const mistake = isVerbAlone ? null : mistakeIn(words.slice(1))
      return mistake === null ? [] : [`${page}: ${line}: ${mistake}`]
    }),
    [],
  )
  const wrong = [
    'shwo x',
    'add --lan critical',
    'add x --lane urgent',
    'list me',
    'show',
    'config hide',
    'add --budget',
  ]
  for (const each of wrong) assert.notEqual(mistakeIn(each.split(' ')), null, each)
})

test('every script and file the pages tell people to start is there', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }
  const missing = said.flatMap(({ page, line, words }) => {
    const [program, first, second] = words
    const script = program === 'npm' ? (first === 'run' ? second : first === 'test' ? 'test' : undefined) : undefined
    if (script !== undefined) {
      const file = /\bnode ((?:\w+\/)+\w+\.ts)/.exec(scripts[script] ?? '')?.[1]
      return scripts[script] === undefined || (file && !existsSync(join(root, file))) ? [`${page}: ${line}`] : []
    }
    return ['sh', 'bash'].includes(program ?? '') && first !== undefined && !existsSync(join(root, first))
      ? [`${page}: ${line}`]
      : []
  })
  assert.ok(said.some(({ line }) => line.startsWith('npm run demo')) && said.some(({ words }) => words[0] === 'bash'))
  assert.deepEqual(missing, [])
})

test('the README comes to a first result on the first screen', () => {
  const lines = textOf('README.md').split('\n')
  const at = lines.findIndex((line) => line === '    npm run demo')
  assert.ok(at > 0 && at < 15, `npm run demo is on line ${at + 1}`)
  assert.ok(
    lines.every((line) => line.startsWith('|') || line.length <= 160),
    'lines are short enough to be read',
  )
})

const slug = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

test('every link of every page leads to a file and a heading that are there', () => {
  const links = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => ({ page, target: target! })),
  )
  const relative = links.filter(({ target }) => !/^[a-z]+:/.test(target))
  assert.ok(relative.length > 8, `${relative.length} links`)
  const broken = relative.filter(({ page, target }) => {
    const [path = '', heading] = target.split('#')
    const file = path === '' ? page : join(dirname(page), path)
    if (!existsSync(join(root, file))) return true
    const headings =
      heading === undefined ? [] : [...textOf(file).matchAll(/^#+ (.*)$/gm)].map(([, each]) => slug(each!))
    return heading !== undefined && !headings.includes(heading)
  })
  assert.deepEqual(broken, [])
})

test('every file the pages speak of is there', () => {
  const paths = said.flatMap(({ page, line }) =>
    [...line.matchAll(/(?<![\w./~@-])(?:[\w-]+\/)+[\w.*-]+\.(?:ts|mjs|sql|md|sh)\b/g)].map(([path]) => ({
      page,
      path,
    })),
  )
  assert.ok(paths.length > 20, `${paths.length} paths`)
  assert.deepEqual(
    paths.filter(({ path }) => ['', 'src'].every((folder) => globSync(join(root, folder, path)).length === 0)),
    [],
  )
})

test('the pages praise nothing', () => {
  const praise =
    /\b(?:blazing\w*|seamless\w*|effortless\w*|powerful|robust|world-class|cutting-edge|state-of-the-art|next-generation|revolutionary|enterprise-grade|production-ready|battle-tested|game-chang\w+|best-in-class|delightful|supercharge\w*|unleash\w*|simply|easily)\b/i
  assert.ok(praise.test('a Seamless experience'))
  assert.deepEqual(
    pages.flatMap((page) => (praise.exec(textOf(page)) ?? []).map((word) => `${page}: ${word}`)),
    [],
  )
})

/** These need a daemon at work or go on until they are stopped; test/cli/daemon.test.ts, test/newcomer and the demo carry them out. */
const needsDaemon = ['up', 'watch', 'output', 'demo']
/** Asks the vendors themselves, which no test does: test/newcomer types it where a loopback provider stands in their place. */
const asksVendors = '--live'
/** Attack for half a minute and more: test/e2e has a test of each. */
const attacks = ['audit', 'chaos']
/** Refused here, and that is an answer too: there is nothing to decide yet, and no terminal to type a key at. */
const refusedHere = ['approve', 'reject', 'retry', 'keys']

test("what the README says to type works in a repository of one's own", async () => {
  await using built = await bundle()
  await using ada = await person(built.program)
  const env = { ANTHROPIC_API_KEY: 'key-1', OPENAI_API_KEY: 'key-2', GOOGLE_API_KEY: 'key-3' }
  const typed: string[] = []
  const lines = new Map(ours.filter(({ page }) => page === 'README.md').map((each) => [each.line, each.words]))
  let task: string | null = null
  for (const [line, words] of lines) {
    const [, verb = '', ...rest] = words
    if (
      attacks.includes(verb) ||
      needsDaemon.includes(verb) ||
      rest.includes(asksVendors) ||
      mistakeIn([verb, ...rest]) !== null
    )
      continue
    if (rest.includes('TASK') && (task === null || verb === 'cancel')) {
      const added = (await ada.json(['add', `A task to ${verb}`])) as { task: { id: string } }
      task = added.task.id
    }
    const args = [verb, ...rest].map((word) => (word === 'TASK' ? task! : word))
    if (verb === 'cancel') task = null
    const { code, stdout, stderr } = await ada.type(args, { env })
    const isRefused = verb === 'doctor' ? !/, 0 missing\.$/m.test(stdout) : refusedHere.includes(verb) // what is missing depends on the machine
    assert.equal(code, isRefused ? 1 : 0, `${line}: ${stdout}${stderr}`)
    assert.match(stdout + stderr, /\S/, `${line} says something`)
    typed.push(verb)
    if (verb === 'init') {
      await ada.git('add', 'tri-agent.yaml')
      await ada.git('commit', '--quiet', '--message', 'Say how to test this')
    }
  }
  const needed = ['init', 'add', 'status', 'list', 'show', 'approve', 'prioritize', 'log', 'verify-history', 'rebuild']
  assert.deepEqual(
    needed.filter((verb) => !typed.includes(verb)),
    [],
  )
})
