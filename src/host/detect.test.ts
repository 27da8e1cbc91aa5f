import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { defaultRepositorySettings } from '../core/setting.ts'
import { detectRepository, examineToolchain, programsIn, resolveToolchain } from './detect.ts'
import { isFault } from './fault.ts'

const look = (files: Readonly<Record<string, string>>) => ({
  read: (path: string) => files[path] ?? null,
  list: () => Object.keys(files),
})

const manifest = JSON.stringify({
  scripts: { test: 'node --test', lint: 'x', 'type-check': 'tsc', start: 'y' },
  devDependencies: { typescript: '7' },
})

test('a package.json with a lockfile gives set-up, key, gates and tools of its package manager', () => {
  const of = (lock: string, more = {}) => detectRepository(look({ 'package.json': manifest, [lock]: '', ...more }))
  assert.deepEqual(of('package-lock.json', { '.npmrc': '' }), {
    found: ['package.json with package-lock.json'],
    setup: ['npm ci'],
    setupKey: ['package.json', 'package-lock.json', '.npmrc'],
    gates: [
      { name: 'types', command: 'npm run type-check' },
      { name: 'lint', command: 'npm run lint' },
      { name: 'test', command: 'npm run test' },
    ],
    toolchain: ['node', 'npm'],
    missing: [],
  })
  assert.deepEqual(
    [
      of('pnpm-lock.yaml').setup,
      of('yarn.lock').setup,
      of('yarn.lock', { '.yarnrc.yml': '' }).setup,
      of('pnpm-lock.yaml').toolchain,
    ],
    [
      ['pnpm install --frozen-lockfile'],
      ['yarn install --frozen-lockfile'],
      ['yarn install --immutable'],
      ['node', 'pnpm'],
    ],
  )
})

test('Python, Go, Rust, Java, Ruby and make are proposed for, each keeping its dependencies inside the tree', () => {
  const rows = [
    [
      { 'pyproject.toml': '[project]\ndependencies = ["pytest>=8", "ruff"]', 'uv.lock': '' },
      ['uv sync --frozen'],
      ['.venv/bin/ruff check .', '.venv/bin/python -m pytest'],
      ['uv', 'python3'],
    ],
    [
      { 'requirements.txt': 'flask==3', 'tests/test_app.py': '' },
      ['python3 -m venv .venv', '.venv/bin/pip install -r requirements.txt'],
      ['.venv/bin/python -m unittest discover'],
      ['python3'],
    ],
    [{ 'go.mod': 'module x', 'go.sum': '' }, ['go mod vendor'], ['go vet ./...', 'go test ./...'], ['go']],
    [
      { 'Cargo.toml': '', 'Cargo.lock': '' },
      ['CARGO_HOME="$PWD/.cargo-home" cargo fetch --locked'],
      ['CARGO_HOME="$PWD/.cargo-home" cargo test --locked --offline'],
      ['cargo', 'rustc', 'cc'],
    ],
    [
      { 'pom.xml': '', mvnw: '', '.mvn/wrapper/maven-wrapper.properties': '' },
      [
        './mvnw --batch-mode -Dmaven.repo.local=.m2/repository dependency:go-offline',
        './mvnw --batch-mode -Dmaven.repo.local=.m2/repository -DskipTests verify',
      ],
      ['./mvnw --batch-mode -Dmaven.repo.local=.m2/repository --offline verify'],
      ['java'],
    ],
    [
      { 'build.gradle.kts': '', 'gradle/libs.versions.toml': '' },
      ['GRADLE_USER_HOME="$PWD/.gradle-home" gradle --no-daemon testClasses'],
      ['GRADLE_USER_HOME="$PWD/.gradle-home" gradle --no-daemon --offline check'],
      ['java', 'gradle'],
    ],
    [
      { Gemfile: 'gem "rspec"\ngem "rubocop"\n', 'Gemfile.lock': '' },
      ['BUNDLE_PATH=vendor/bundle BUNDLE_FROZEN=true bundle install'],
      ['BUNDLE_PATH=vendor/bundle bundle exec rubocop', 'BUNDLE_PATH=vendor/bundle bundle exec rspec'],
      ['ruby', 'bundle'],
    ],
    [{ Makefile: 'CC := gcc\nlint: x\ntest:\n\ttrue\n' }, [], ['make lint', 'make test'], ['make']],
  ] as const
  for (const [files, setup, commands, toolchain] of rows) {
    const detected = detectRepository(look(files))
    assert.deepEqual(
      [detected.setup, detected.gates.map(({ command }) => command), detected.toolchain, detected.missing],
      [setup, commands, toolchain, []],
    )
  }
})

test('the first ecosystem that has a gate keeps it, and what adds nothing adds no tool', () => {
  const { gates, toolchain } = detectRepository(
    look({ 'package.json': manifest, 'package-lock.json': '', Makefile: 'test: x\nlint: y\n' }),
  )
  assert.deepEqual([gates.at(-1), toolchain], [{ name: 'test', command: 'npm run test' }, ['node', 'npm']])
})

test('what could not be found is said', () => {
  const missing = (files: Readonly<Record<string, string>>) => detectRepository(look(files)).missing
  const untested = 'no command that tests was found: without one nothing shows that a change works'
  assert.deepEqual(missing({ 'README.md': '' }), [untested])
  assert.deepEqual(missing({ 'package.json': '{' }), ['package.json is not valid JSON', untested])
  assert.deepEqual(missing({ 'package.json': manifest }), [
    'package.json has dependencies but no lockfile: commit one, then set-up can be repeated exactly',
  ])
  assert.deepEqual(
    missing({ 'package.json': '{"scripts":{"test":"echo \\"Error: no test specified\\" && exit 1"}}' }),
    [untested],
  )
  assert.deepEqual(missing({ 'composer.json': '', 'ui/package.json': '' }), [
    'composer.json: Composer is not proposed for; write its setup and gates by hand',
    'only the root was looked at; there is also ui/package.json',
    untested,
  ])
})

test('the programs of a command are the first words of its parts', () => {
  assert.deepEqual(programsIn(`CI=1 A="b c" npm ci && cd x; ./own | tee log || .venv/bin/pip x`), ['npm', 'cd', 'tee'])
})

/** A machine with a home folder and a node installed below it, as version managers do. */
async function machine(context: TestContext) {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'tri-agent-tools-')))
  context.after(() => rm(root, { recursive: true, force: true }))
  const home = join(root, 'home')
  const program = async (path: string, text = '#!/bin/sh\n') => {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
    await chmod(join(root, path), 0o755)
  }
  await program('home/.nvm/v24/bin/node')
  await program('home/.nvm/v24/lib/npm/bin/npm-cli.js', '#!/usr/bin/env node\n')
  await symlink('../lib/npm/bin/npm-cli.js', join(root, 'home/.nvm/v24/bin/npm'))
  await program('home/.fmt/bin/fmt', '#!/usr/bin/env node\n')
  await program('home/.venv/bin/pip')
  await mkdir(join(root, 'home/.venv/lib'))
  await program('home/.local/bin/uv')
  await program('home/bin/mine')
  await program('home/loose')
  const path = ['home/.nvm/v24/bin', 'home/.fmt/bin', 'home/.venv/bin', 'home/.local/bin', 'home/bin', 'home'].map(
    (each) => join(root, each),
  )
  const resolveIn = (toolchain: string[], ...commands: string[]) => {
    const { folders, missing } = examineToolchain(
      { toolchain, setup: commands, gates: [] },
      { HOME: home, XDG_STATE_HOME: '/s', XDG_CONFIG_HOME: '/c', PATH: [...path, '/usr/bin', '/bin'].join(':') },
    )
    return {
      folders: folders.map((each) => each.replace(root, '')),
      missing: missing.map(({ name, why }) => `${name}: ${why}`.replaceAll(root, '')),
    }
  }
  return { home, resolveIn, path }
}

test('a tool is found on PATH with what it links to and what interprets it', async (context) => {
  const { resolveIn } = await machine(context)
  assert.deepEqual(resolveIn(['npm']), { folders: ['/home/.nvm/v24/bin', '/home/.nvm/v24/lib/npm/bin'], missing: [] })
  assert.deepEqual(resolveIn([], 'npm ci && node x; sh y'), resolveIn(['npm']))
  assert.deepEqual(resolveIn(['pip']).folders, ['/home/.venv/bin'])
  assert.deepEqual(resolveIn(['sh']), { folders: [], missing: [] })
})

test('what a client keeps in HOME beside its program, credentials and sockets, is not shown with it', async (context) => {
  const { resolveIn } = await machine(context)
  assert.deepEqual(resolveIn(['fmt']).folders, ['/home/.fmt/bin/', '/home/.nvm/v24/bin'])
})

test('a folder that mixes programs with more is shown alone or not at all, whatever a repository names', async (context) => {
  const { home, resolveIn, path } = await machine(context)
  assert.deepEqual(resolveIn(['uv', 'mine']), { folders: ['/home/.local/bin/', '/home/bin/'], missing: [] })
  const asked = [home, dirname(home), '/', join(home, '.ssh'), join(home, '.local'), join(home, '.nvm/v24')]
  const astray = 'is not on PATH, which alone decides what a repository may use'
  assert.deepEqual(resolveIn(asked), {
    folders: ['/home/bin/', '/home/.local/bin/', '/home/.nvm/v24/bin'],
    missing: [`: ${astray}`, `/home/.ssh: ${astray}`],
  })
  assert.deepEqual(resolveIn(['loose', 'nosuchtool', '../x']).missing, [
    'loose: /home holds more than programs and is not shown to agents',
    'nosuchtool: is not on PATH',
    '../x: is not the name of a program',
  ])
  const settings = { ...defaultRepositorySettings(), toolchain: ['nosuchtool'] }
  assert.throws(
    () => resolveToolchain(settings, { HOME: home, PATH: path.join(':') }),
    (error) => isFault(error, 'tool-missing'),
  )
})
