import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { capture, spawnProcess } from '../src/host/process.ts'
import type { Ask, Tool } from './dialect/dialect.ts'
import { express, smallestOf, workFolder } from './toolbox.ts'
import type { SpokenStep } from './toolbox.ts'

const json = (name: string, ...keys: string[]): Tool => ({ name, form: 'json', keys })
const freeform = (name: string): Tool => ({ name, form: 'freeform', keys: [] })

// Tool names as each client offers them, from recorded requests.
const clients = {
  claude: [json('Bash'), json('Edit'), json('Read'), json('Write')],
  codex: [json('exec_command'), json('write_stdin'), freeform('apply_patch')],
  codexInCode: [json('functions'), freeform('exec'), json('wait')],
  gemini: [
    json('read_file', 'file_path'),
    json('replace', 'file_path', 'instruction', 'old_string', 'new_string'),
    json('write_file', 'file_path', 'content'),
    json('run_shell_command'),
  ],
  opencodeOpenai: [json('apply_patch', 'patchText'), json('bash'), json('read')],
  opencode: [json('bash'), json('edit'), json('read'), json('write')],
  scripted: [
    json('read_file', 'path'),
    json('misbehave', 'kind'),
    json('write_file', 'path', 'content'),
    json('replace_in_file'),
    json('shell'),
  ],
  none: [] as Tool[],
}

const asks = (tools: readonly Tool[], wantsJson = false): Ask => ({
  model: 'm',
  stream: true,
  system: '',
  user: '',
  lastUser: '',
  tools,
  toolResults: 0,
  marks: [],
  json: wantsJson ? { schema: {} } : null,
  streamUsage: true,
})
const callOf = (client: keyof typeof clients, step: SpokenStep, cwd: string | null = '/work') =>
  express(step, asks(clients[client]), cwd).call

test('a file is written with the tool of each client, in the shape it takes', () => {
  const step = { write: { path: 'a/b.txt', content: 'one\ntwo\n' } }
  const patch = '*** Begin Patch\n*** Add File: a/b.txt\n+one\n+two\n*** End Patch'
  const content = 'one\ntwo\n'
  assert.deepEqual(
    Object.keys(clients).map((client) => callOf(client as keyof typeof clients, step)),
    [
      { name: 'Write', args: { file_path: '/work/a/b.txt', content } },
      { name: 'apply_patch', freeform: patch },
      { name: 'exec', freeform: `text(await tools.apply_patch(${JSON.stringify(patch)}));` },
      { name: 'write_file', args: { file_path: '/work/a/b.txt', content } },
      { name: 'apply_patch', args: { patchText: patch } },
      { name: 'write', args: { filePath: '/work/a/b.txt', content } },
      { name: 'write_file', args: { path: 'a/b.txt', content } },
      null,
    ],
  )
})

test('a file that is there already is overwritten without a tool that wants it read first', () => {
  const step = { write: { path: 'a', content: 'x', over: true } }
  assert.deepEqual(
    Object.keys(clients).map((client) => callOf(client as keyof typeof clients, step)?.name),
    ['Bash', 'exec_command', 'exec', 'write_file', 'bash', 'bash', 'write_file', undefined],
  )
})

test('a command is given to the shell of each client', () => {
  const description = 'Work on the task'
  assert.deepEqual(
    Object.keys(clients).map((client) => callOf(client as keyof typeof clients, { shell: 'ls' })),
    [
      { name: 'Bash', args: { command: 'ls', description } },
      { name: 'exec_command', args: { cmd: 'ls' } },
      { name: 'exec', freeform: 'text(await tools.exec_command({"cmd":"ls","yield_time_ms":30000}));' },
      { name: 'run_shell_command', args: { command: 'ls', description } },
      { name: 'bash', args: { command: 'ls', description } },
      { name: 'bash', args: { command: 'ls', description } },
      { name: 'shell', args: { command: 'ls' } },
      null,
    ],
  )
})

test('a text is replaced with a tool of the client where it needs no reading first, else by its shell', () => {
  const step = { replace: { path: 'a.ts', find: 'x', with: 'y' } }
  assert.deepEqual(callOf('scripted', step), { name: 'replace_in_file', args: step.replace })
  assert.deepEqual(callOf('gemini', step), {
    name: 'replace',
    args: { file_path: '/work/a.ts', instruction: 'Change a.ts', old_string: 'x', new_string: 'y' },
  })
  assert.deepEqual(
    ['claude', 'codex', 'opencode'].map((client) => callOf(client as keyof typeof clients, step)?.name),
    ['Bash', 'exec_command', 'bash'],
  )
})

test('misbehaviour needs a client that offers it; a lie needs none', () => {
  assert.deepEqual(callOf('scripted', { misbehave: 'crash' }), { name: 'misbehave', args: { kind: 'crash' } })
  assert.deepEqual(express({ misbehave: 'lie-tests' }, asks(clients.claude), null), {
    text: 'Done. All tests pass.',
    call: null,
  })
  assert.deepEqual(express({ misbehave: 'crash' }, asks(clients.opencode), null), {
    text: 'I cannot do that (misbehave): no fitting tool among bash, edit, read, write.',
    call: null,
  })
})

test('an answer in JSON is a tool use, bare, or fenced: as the client asks for it', () => {
  const step = { json: { verdict: 'approve' } }
  const structured = asks([json('StructuredOutput')])
  assert.deepEqual(express(step, structured, null), { text: '', call: { name: 'StructuredOutput', args: step.json } })
  assert.deepEqual(express(step, asks([], true), null), { text: '{"verdict":"approve"}', call: null })
  assert.deepEqual(express(step, asks([]), null), { text: '```json\n{\n  "verdict": "approve"\n}\n```', call: null })
})

test('the scripts for clients without a fitting tool do what they say to any text, and fail where the text is not there', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'toolbox-'))
  const sh = async (step: SpokenStep) => {
    const call = express(step, asks([json('Bash')]), cwd).call
    const command = String(call && 'args' in call && call.args.command)
    return capture(spawnProcess, { file: 'sh', args: ['-c', command], cwd, env: { PATH: '/usr/bin:/bin' } })
  }
  try {
    const path = "sub dir/it's.txt"
    const content = 'first\n$HOME `x` \'q\' "d" \\n *?[a] &\n%s\n\n'
    assert.equal((await sh({ write: { path, content, over: true } })).code, 0)
    assert.equal(await readFile(join(cwd, path), 'utf8'), content)
    const swap = { find: '$HOME `x` \'q\' "d" \\n *?[a] &\n', with: "& \\1 $& 'new'\n\n" }
    assert.deepEqual(await sh({ replace: { path, ...swap } }), { code: 0, signal: null, stdout: '', stderr: '' })
    assert.equal(await readFile(join(cwd, path), 'utf8'), `first\n${swap.with}%s\n\n`)

    await writeFile(join(cwd, 'twice.txt'), 'a-a-a')
    await sh({ replace: { path: 'twice.txt', find: 'a', with: 'b' } })
    assert.equal(await readFile(join(cwd, 'twice.txt'), 'utf8'), 'b-a-a')
    const missed = await sh({ replace: { path: 'twice.txt', find: '*', with: 'c' } })
    assert.deepEqual([missed.code, missed.stderr], [1, 'text not found in twice.txt\n'])
    assert.equal(await readFile(join(cwd, 'twice.txt'), 'utf8'), 'b-a-a')
    assert.equal((await sh({ replace: { path: 'absent', find: 'a', with: 'b' } })).code, 1)
    assert.equal((await sh({ read: { path } })).stdout, `first\n${swap.with}%s\n\n`)
  } finally {
    await rm(cwd, { recursive: true, force: true })
  }
})

test('the folder a client works in is read from what it says of its environment', () => {
  const says = [
    '"text":"# Environment\\n - Primary working directory: /work\\n - Is a git repository: true"',
    '"text":"<environment_context>\\n  <cwd>/work</cwd>\\n  <shell>bash</shell>"',
    '"text":"- **Workspace Directories:**\\n  - /work\\n- **Directory Structure:**"',
    '"content":"<env>\\n  Working directory: /work\\n  Is directory a git repo: yes"',
    '"text":"nothing of the kind"',
  ]
  assert.deepEqual(says.map(workFolder), ['/work', '/work', '/work', '/work', null])
})

test('the smallest value a schema allows has what is required and nothing else', () => {
  const schema = {
    type: 'OBJECT',
    properties: {
      why: { type: 'STRING' },
      score: { type: 'INTEGER', minimum: 3 },
      route: { type: 'string', enum: ['flash', 'pro'] },
      files: { type: 'array', items: { type: 'boolean' } },
      spare: { type: 'string' },
    },
    required: ['why', 'score', 'route', 'files'],
  }
  assert.deepEqual(smallestOf(schema), { why: 'ok', score: 3, route: 'flash', files: [false] })
})
