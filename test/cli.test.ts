/** The program as a person meets it: what is typed, what is answered, and the exit code. */
import assert from 'node:assert/strict'
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { verbs } from '../src/cli/verb.ts'
import { judgeVersion } from '../src/agent/version.ts'
import { bundle, person, type Typed } from './cli-rig.ts'
import { tell, untilApproval } from './cli-story.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

/** One table for everything that is typed wrong: what, exit code, and what stderr says. */
const wrong: readonly [args: string[], code: number, says: string][] = [
  [['lst'], 2, 'verb "lst" is not known\n  → did you mean: tri-agent list\n'],
  [['cancle', '--help'], 2, 'verb "cancle" is not known\n  → did you mean: tri-agent cancel\n'],
  [['help', 'sow'], 2, 'verb "sow" is not known\n  → did you mean: tri-agent show\n'],
  [['frobnicate'], 2, 'verb "frobnicate" is not known\n  → tri-agent --help\n'],
  [['log', '--folow'], 2, 'option --folow is not known to log\n  → did you mean --follow? See tri-agent log --help\n'],
  [['--jsn', 'list'], 2, 'option --jsn is not known to list\n  → did you mean --json? See tri-agent list --help\n'],
  [
    ['add', 'x', '--lane', 'critcal'],
    2,
    'lane "critcal" is not known\n  → did you mean "critical"? one of: critical, normal, background\n',
  ],
  [
    ['add', 'x', '--size', 'smal'],
    2,
    'size "smal" is not known\n  → did you mean "small"? one of: small, medium, large\n',
  ],
  [
    ['add', 'x', '--kind', 'feture'],
    2,
    'kind "feture" is not known\n  → did you mean "feature"? one of: feature, fix, test, refactor, docs, security, review, architect\n',
  ],
  [['add', 'two', 'words'], 2, 'add takes fewer words; quote what belongs together\n  → tri-agent add --help\n'],
  [['add', 'x', '--lane'], 2, "option '--lane <lane>' argument missing\n  → tri-agent add --help\n"],
  [['show'], 2, "missing required argument 'task'\n  → tri-agent show --help\n"],
  [
    ['list', '--state', 'redy'],
    2,
    'state "redy" is not known\n  → did you mean "ready"? one of: ready, delayed, running, awaiting-approval, escalated, parked, split, done, cancelled\n',
  ],
  [['config', 'shw'], 2, 'what "shw" is not known\n  → did you mean "show"? one of: show, schema\n'],
  [['completion', 'tcsh'], 2, 'shell "tcsh" is not known\n  → one of: bash, zsh, fish\n'],
  [
    ['list'],
    1,
    'nothing is set up for this account yet (no ~/.local/state/tri-agent/tasks.db)\n  → tri-agent init, in your repository\n',
  ],
  [
    ['route'],
    1,
    'say one task: its id, or --title\n  → tri-agent route --title "Explain the parser" --kind docs --explain\n',
  ],
]

test('what is typed wrong is refused with the nearest right word, and nothing is made', async () => {
  await using ada = await person(built.program)
  const said = await Promise.all(wrong.map(([args]) => ada.type(args)))
  assert.deepEqual(
    said.map(({ code, stdout, stderr }) => [code, stdout, ada.still(stderr)]),
    wrong.map(([, code, says]) => [code, '', `tri-agent: ${says}`]),
  )
  assert.equal(existsSync(ada.paths.stateFolder), false)
  assert.equal(existsSync(ada.paths.configFile), false)
})

test('with --json a refusal is one JSON value on stdout, and the exit code the same', async () => {
  await using ada = await person(built.program)
  const { code, stdout, stderr } = await ada.type(['add', 'x', '--lane', 'urgnt', '--json'])
  assert.deepEqual(
    [code, stderr, JSON.parse(stdout)],
    [
      2,
      '',
      {
        ok: false,
        refused: 'unknown-lane',
        why: 'lane "urgnt" is not known',
        hint: 'one of: critical, normal, background',
        exitCode: 2,
      },
    ],
  )
})

test('every verb says how it is used, with examples, and stands in the help and in each completion', async () => {
  await using ada = await person(built.program)
  const [help, bash, zsh, fish, ...each] = await Promise.all([
    ada.type([]),
    ...['bash', 'zsh', 'fish'].map((shell) => ada.type(['completion', shell])),
    ...verbs.map(({ name }) => ada.type([name, '--help'])),
  ])
  assert.ok(verbs.length > 20)
  for (const [index, { name, examples, options }] of verbs.entries()) {
    const { code, stdout } = each[index]!
    assert.equal(code, 0)
    assert.ok(examples.length > 0 && examples.every((example) => stdout.includes(`  ${example}\n`)), `${name} --help`)
    assert.ok(
      options.every(({ flags }) => stdout.includes(flags)),
      `${name} --help has its options`,
    )
    assert.match(help!.stdout, new RegExp(`^  ${name}\\b`, 'm'))
    for (const script of [bash, zsh, fish]) assert.ok(script!.stdout.includes(name), `${name} is completed`)
  }
})

/** A PATH on which nothing is but git, node, and these clients as npm installs them. */
async function pathWith(home: string, clients: readonly ('claude' | 'codex' | 'gemini')[]): Promise<string> {
  const packages = {
    claude: ['@anthropic-ai/claude-code', 'cli.js'],
    codex: ['@openai/codex', 'vendor/any/bin/codex'],
    gemini: ['@google/gemini-cli', 'dist/index.js'],
  } as const
  const bin = join(home, '.npm-global/bin')
  await mkdir(bin, { recursive: true })
  const git = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin'
    .split(':')
    .map((each) => join(each, 'git'))
    .find(existsSync)
  await symlink(git!, join(bin, 'git'))
  await symlink(process.execPath, join(bin, 'node'))
  for (const client of clients) {
    const [name, program] = packages[client]
    const folder = join(home, '.npm-global/lib/node_modules', name)
    await mkdir(dirname(join(folder, program)), { recursive: true })
    await writeFile(
      join(folder, 'package.json'),
      JSON.stringify({ name, version: judgeVersion(client, '0.0.0').tested }),
    )
    await writeFile(join(folder, program), '')
    await chmod(join(folder, program), 0o755)
    await symlink(join(folder, program), join(bin, client))
  }
  return bin
}

test('init says what it found, what is missing and what comes next, and says the same when nothing is left to do', async () => {
  await using ada = await person(built.program)
  const keys = {
    env: { ANTHROPIC_API_KEY: 'sk-test', OPENAI_API_KEY: 'sk-test', PATH: await pathWith(ada.home, ['claude']) },
  }
  const first = await ada.type(['init'], keys)
  assert.deepEqual(
    [first.code, ada.still(first.stdout).replaceAll(/\d+[KMG]B/g, 'SIZE')],
    [
      0,
      `shop is known, work starts from main.
  written    ~/.config/tri-agent/config.yaml
  written    ~/shop/tri-agent.yaml
Found:
  test       npm run test
  tools      node, npm
  space      SIZE a clone, SIZE for 4 at once; SIZE are free
  anthropic  claude ${judgeVersion('claude', '0.0.0').tested}; key env ANTHROPIC_API_KEY, claude-opus-5-5
  openai     ! codex is missing: npm install --global @openai/codex; key env OPENAI_API_KEY, gpt-6-sol
  google     ! gemini is missing: npm install --global @google/gemini-cli; ! no key: tri-agent keys set google
Review: with one usable family nobody else can review: a person approves each change, and the blind review beside it never counts.
! npm is not on PATH
Type next:
  git add tri-agent.yaml && git commit -m "Say how to test this"   # on main, after a look at it
  tri-agent up --detach
  tri-agent add "what you want"
`,
    ],
  )
  await ada.git('add', 'tri-agent.yaml')
  await ada.git('commit', '--quiet', '--message', 'Say how to test this')
  const before = [
    readFileSync(ada.paths.configFile, 'utf8'),
    readFileSync(join(ada.repository, 'tri-agent.yaml'), 'utf8'),
  ]
  const again = await ada.type(['init'], keys)
  assert.deepEqual([again.code, again.stderr], [0, ''])
  assert.match(again.stdout, /unchanged +\S+config\.yaml\n {2}unchanged +\S+tri-agent\.yaml/)
  assert.doesNotMatch(again.stdout, /git add/)
  assert.deepEqual(
    [readFileSync(ada.paths.configFile, 'utf8'), readFileSync(join(ada.repository, 'tri-agent.yaml'), 'utf8')],
    before,
  )
  assert.equal(lstatSync(ada.paths.configFile).mode & 0o777, 0o600)
  assert.equal(existsSync(ada.paths.log), false, 'no daemon was started')
})

test('init shows what it would add to a file a person wrote, adds only with --yes, and never touches what is there', async () => {
  await using ada = await person(built.program)
  const elsewhere = join(ada.home, 'dotfiles', 'tri-agent.yaml')
  await mkdir(dirname(elsewhere), { recursive: true })
  await mkdir(dirname(ada.paths.configFile), { recursive: true })
  const mine = '# mine\nmoney: { day: $5 } # a little\nfamilies:\n  openai:\n    models: gpt-5.6-sol\n'
  await writeFile(elsewhere, mine, { mode: 0o640 })
  await symlink(elsewhere, ada.paths.configFile)
  const keys = { env: { ANTHROPIC_API_KEY: 'sk-test', OPENAI_API_KEY: 'sk-test' } }
  const shown = await ada.type(['init'], keys)
  assert.equal(shown.code, 0)
  assert.match(shown.stderr, /^ {2}\+ {2}anthropic:$/m)
  assert.match(shown.stdout, /kept +\S+config\.yaml/)
  assert.match(shown.stdout, /^ {2}tri-agent init --yes/m)
  assert.equal(readFileSync(elsewhere, 'utf8'), mine)
  assert.equal((await ada.type(['init', '--yes'], keys)).code, 0)
  assert.equal(
    readFileSync(elsewhere, 'utf8'),
    `${mine}  anthropic:
    agent: claude
    keyFrom:
      env: ANTHROPIC_API_KEY
    models:
      architect: claude-opus-5-5
      implementer: claude-opus-5-5
      reviewer: claude-opus-5-5
`,
  )
  assert.ok(lstatSync(ada.paths.configFile).isSymbolicLink())
  assert.equal(lstatSync(elsewhere).mode & 0o777, 0o640)
})

test('init works on a bare repository, writes nothing into it, and says how to give it a tri-agent.yaml', async () => {
  await using ada = await person(built.program)
  const bare = join(ada.home, 'shop.git')
  await ada.git('clone', '--quiet', '--bare', ada.repository, bare)
  const before = readdirSync(bare).toSorted()
  const said = await ada.type(['init', bare])
  assert.equal(said.code, 0)
  assert.match(said.stdout, /^ {2}commit a tri-agent\.yaml to main from a clone of this repository$/m)
  assert.match(said.stdout, /^! this repository has no work tree/m)
  assert.deepEqual(readdirSync(bare).toSorted(), before)
  const { repositories } = (await ada.json(['status'])) as { repositories: object[] }
  assert.deepEqual(repositories, [{ name: 'shop.git', path: bare, base: 'main' }])
  assert.equal((await ada.type(['add', 'Sell tea'], { cwd: bare })).code, 0)
})

test('init --force proposes tri-agent.yaml anew, shows the difference first, and without a yes changes nothing', async () => {
  await using ada = await person(built.program)
  const mine = 'gates:\n  - { name: mine, command: make it }\n'
  await ada.write('tri-agent.yaml', mine)
  const read = () => readFileSync(join(ada.repository, 'tri-agent.yaml'), 'utf8')
  await ada.type(['init', '--yes'])
  const shown = await ada.type(['init', '--force'])
  assert.match(
    shown.stderr,
    /would be replaced.*^ {2}- {2}- \{ name: mine, command: make it \}$.*^ {2}\+ {2}- name: test$/ms,
  )
  assert.match(read(), /make it/)
  assert.equal((await ada.type(['init', '--force', '--yes'])).code, 0)
  assert.doesNotMatch(read(), /make it/)
  assert.match(read(), /command: npm run test/)
})

test('init puts the shapes of both files beside the settings, which name theirs; config schema prints them', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  const folder = dirname(ada.paths.configFile)
  assert.match(readFileSync(ada.paths.configFile, 'utf8'), /^# yaml-language-server: \$schema=operator\.schema\.json\n/)
  for (const name of ['operator', 'repository']) {
    const { code, stdout } = await ada.type(['config', 'schema', name])
    assert.equal(code, 0)
    assert.deepEqual(JSON.parse(stdout), JSON.parse(readFileSync(join(folder, `${name}.schema.json`), 'utf8')))
  }
})

test('init refuses what it cannot work on, and makes nothing there', async () => {
  await using ada = await person(built.program)
  const at = (name: string) => join(ada.home, name)
  for (const name of ['plain', 'empty', 'moved', 'bare.git']) await mkdir(at(name))
  await ada.git('init', '--quiet', '--bare', at('bare.git'))
  await ada.git('init', '--quiet', '--initial-branch', 'main', at('empty'))
  await ada.git('clone', '--quiet', ada.repository, at('moved'))
  await ada.git('-C', at('moved'), 'checkout', '--quiet', '--detach')
  const cases: [string[], string][] = [
    [['init', at('plain')], 'not-a-repository'],
    [['init', at('nowhere')], 'not-a-repository'],
    [['init', at('empty')], 'no-commit'],
    [['init', at('bare.git')], 'no-commit'],
    [['init', at('moved')], 'no-branch'],
    [['init', '--base', 'mian'], 'no-such-branch'],
  ]
  const said = await Promise.all(cases.map(([args]) => ada.type([...args, '--json'])))
  assert.deepEqual(
    said.map(({ code, stdout }) => [code, (JSON.parse(stdout) as { refused: string }).refused]),
    cases.map(([, refused]) => [1, refused]),
  )
  assert.equal(existsSync(ada.paths.stateFolder), false)
  assert.equal(existsSync(ada.paths.configFile), false)
})

test('add takes the text from flags, a file or stdin, finds the repository from within, and answers with what comes next', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  await ada.write(
    'src/deep/task.md',
    '---\ntitle: Show totals\nlane: critical\nkind: fix\ntags: [web]\nbudget: $2\naccept: in cents\n---\nEnd the list with a total.\n',
  )
  const inside = { cwd: join(ada.repository, 'src/deep') }
  const added = await ada.type(
    ['add', '-f', 'task.md', '--lane', 'background', '--tag', 'totals', '--accept', 'rounded'],
    inside,
  )
  assert.deepEqual(
    [added.code, ada.still(added.stdout)],
    [
      0,
      'Added task_1 to shop: small fix, lane background.\nIt starts from what is committed on main; what is not committed here stays as it is, and is not seen.\nThe daemon is down, the task waits for it: tri-agent up --detach\n',
    ],
  )
  const { task } = (await ada.json(['show', /task_\w+/.exec(added.stdout)![0]])) as { task: Record<string, unknown> }
  assert.deepEqual(
    [task['title'], task['text'], task['lane'], task['kind'], task['tags'], task['acceptance'], task['budgetNanoUsd']],
    ['Show totals', 'End the list with a total.', 'background', 'fix', ['web', 'totals'], ['in cents', 'rounded'], 2e9],
  )
  assert.equal((await ada.type(['add', 'From a pipe', '-f', '-'], { stdin: 'piped text' })).code, 0)
  const { tasks } = (await ada.json(['list'])) as { tasks: { title: string }[] }
  assert.deepEqual(tasks.map(({ title }) => title).sort(), ['From a pipe', 'Show totals'])
})

test('add --estimate says a range from prices, then from done tasks of its size, and adds nothing', async () => {
  await using ada = await person(built.program)
  const keys = { env: { ANTHROPIC_API_KEY: 'sk-test', OPENAI_API_KEY: 'sk-test' } }
  await ada.type(['init'], keys)
  const asked = (...more: string[]) => ada.type(['add', 'Sell tea', '--estimate', ...more], keys)
  const small = await asked()
  assert.match(
    small.stdout,
    /^Between \$\d+\.\d+ and \$\d+\.\d+: openai writes, anthropic reviews; from prices and the tokens that small tasks usually take; .* 0 so far\.\nIt never costs more than \$10\.00/,
  )
  const of = async (size: string) =>
    (JSON.parse((await asked('--size', size, '--json')).stdout) as { estimate: { lowNanoUsd: number; from: string } })
      .estimate
  assert.ok((await of('small')).lowNanoUsd < (await of('medium')).lowNanoUsd)
  assert.deepEqual((await ada.json(['list']))['tasks'], [])
  for (const costNanoUsd of [2e9, 3e9, 4e9]) {
    const implemented = untilApproval
      .slice(0, 3)
      .map((event) => ('attempt' in event ? { ...event, attempt: `att_${costNanoUsd}` } : event))
      .map((event) => (event.type === 'attempt.ended' ? { ...event, costNanoUsd } : event))
    await tell(ada, 'Sell tea', [...implemented, { type: 'task.reported', report: '' }])
  }
  const known = await of('small')
  assert.deepEqual([known.from, known.lowNanoUsd], ['history', 2e9])
})

test('add refuses what it cannot keep whole, and then nothing is queued', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  await ada.write('large.md', 'x'.repeat(100 * 1024 + 1))
  await ada.write('lane.md', '---\nlane: critcal\n---\ntext\n')
  const cases: [string[], string, Parameters<typeof ada.type>[1]?][] = [
    [['add', ''], 'no-title'],
    [['add', 'x'.repeat(201)], 'long-title'],
    [['add', 'x', '-f', 'large.md'], 'text-too-long'],
    [['add', 'x', '-f', '-'], 'text-too-long', { stdin: 'x'.repeat(11 * 1024 * 1024) }],
    [['add', 'x', '-f', '-'], 'not-text', { stdin: Uint8Array.of(0xff, 0xfe, 0x00) }],
    [['add', 'x', '--text', 'x'.repeat(100 * 1024 + 1)], 'text-too-large'],
    [['add', 'x', '-f', 'lane.md'], 'unknown-lane'],
    [['add', 'x', '-f', 'nowhere.md'], 'no-such-file'],
    [['add', 'x', '-f', '.'], 'file-unreadable'],
    [['add', 'x', '-f', 'lane.md', '--text', 'y'], 'text-twice'],
    [['add', 'x', '--budget', 'ten'], 'bad-budget'],
    [['add', 'x', '--after', 'task_nowhere'], 'no-such-task'],
    [['add', 'x', '--repo', 'shp'], 'no-such-repository'],
    [['add', 'x', '--kind', 'review'], 'no-ref'],
    [['add', 'x'], 'not-registered', { cwd: ada.home }],
  ]
  const said = await Promise.all(cases.map(([args, , how]) => ada.type([...args, '--json'], how)))
  assert.deepEqual(
    said.map(({ code, stdout }) => [code, (JSON.parse(stdout) as { refused: string }).refused]),
    cases.map(([, refused]) => [1, refused]),
  )
  assert.deepEqual((await ada.json(['list']))['tasks'], [])
})

test('the order is changed, tasks are held and cancelled, and the log says who did it', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  const added = await ada.type(['add', 'Sell tea'])
  const id = /task_\w+/.exec(added.stdout)![0]
  const say = async (...args: string[]) => ada.still(textOf(await ada.type(args))).replace(/ \d+s +/, ' 0s   ')
  const later = ' The daemon is down; it will see this when it is up: tri-agent up --detach\n'
  assert.equal(
    await say('hold', id, '--why', 'wait for the release'),
    `0 task_1: held; nothing new starts for it.${later}`,
  )
  assert.equal(
    await say('hold', id),
    '1 tri-agent: task_1 is held already: wait for the release\n  → tri-agent release task_1\n',
  )
  assert.equal(
    await say('prioritize', id, '--lane', 'critical', '--first'),
    `0 task_1: lane critical, before everything else.${later}`,
  )
  assert.equal(
    (await say('list')).replace(/ \ds {3}Sell/, ' 0s   Sell'), // a busy machine takes longer
    '0 id             state  lane       kind     repository  cost   age  title\ntask_1  ready  critical!  feature  shop        $0.00  0s   Sell tea (held: wait for the release)\n',
  )
  assert.equal(await say('release', id.slice(5, 9)), `0 task_1: released.${later}`)
  assert.equal(
    await say('approve', id),
    '1 tri-agent: task_1 is ready: there is nothing to approve\n  → tri-agent show task_1\n',
  )
  assert.equal(await say('cancel', id, '--why', 'no longer wanted'), `0 task_1: cancelled.${later}`)
  assert.equal(await say('cancel', id), '1 tri-agent: task_1 is cancelled already\n')
  assert.equal(await say('show', 'task_nowhere'), '1 tri-agent: there is no task task_nowhere\n  → tri-agent list\n')
  assert.equal(
    await say('log'),
    `0 WHEN  repo/repo_1  repository shop registered: ~/shop, from main [me]
WHEN  task_1  added: Sell tea (small feature, lane normal) [me]
WHEN  task_1  held: wait for the release [me]
WHEN  task_1  put into lane critical, before everything else [me]
WHEN  task_1  released [me]
WHEN  task_1  cancelled: no longer wanted [me]
`,
  )
  assert.equal(await say('rebuild', '--verify'), '0 6 events fold into 2 rows; every row is the same.\n')
})

const textOf = ({ code, stdout, stderr }: Typed): string => `${code} ${stdout}${stderr}`

test('a config file that is wrong is said line by line, by every verb that needs it', async () => {
  await using ada = await person(built.program)
  await mkdir(dirname(ada.paths.configFile), { recursive: true })
  await writeFile(ada.paths.configFile, 'mony: { day: $5 }\nrung: gruop\n', { mode: 0o600 })
  for (const args of [['config', 'show', '--origin'], ['init'], ['up'], ['route', '--title', 'x']]) {
    const said = ada.still(textOf(await ada.type(args))).replace(/ \d+s +/, ' 0s   ')
    assert.match(said, /^1 tri-agent: ~/, args[0])
    assert.match(said, /~\/\.config\/tri-agent\/config\.yaml:1: mony: unknown key; did you mean "money"\?/, args[0])
    assert.match(said, /~\/\.config\/tri-agent\/config\.yaml:2: rung: is not known; did you mean "group"\?/, args[0])
  }
})

test('a database that cannot be used is a sentence, not a stack', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  await rename(ada.paths.database, `${ada.paths.database}.old`)
  for (const end of ['-wal', '-shm'])
    if (existsSync(ada.paths.database + end)) await rename(ada.paths.database + end, `${ada.paths.database}${end}.old`)
  await writeFile(ada.paths.database, 'this is not a database at all, whatever its name says')
  const { code, stderr } = await ada.type(['list'])
  assert.equal(code, 1)
  const mend = 'if it was ours: tri-agent restore latest; else move it away'
  assert.equal(ada.still(stderr), `tri-agent: ~/.local/state/tri-agent/tasks.db: file is not a database\n  → ${mend}\n`)
})
