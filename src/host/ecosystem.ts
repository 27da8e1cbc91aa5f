/**
 * What the files of a repository say about how it is set up and tested, one function per ecosystem. Proposals only: a person reads them before
 * anything is executed. It looks at the root alone, reads through functions it is handed, and says what it could not find instead of guessing.
 *
 * What set-up fetches must end up inside the work tree: HOME is emptied, the tree is what gets sealed.
 */

/** A commit's files. */
export type Look = { read(path: string): string | null; list(): readonly string[] }

export type Proposal = {
  /** What it was read from: `package.json with package-lock.json`. */
  found: string
  setup: string[]
  setupKey: string[]
  gates: { name: string; command: string }[]
  toolchain: string[]
  /** What a person must add or know. */
  missing: string[]
}

/** An ecosystem's proposal, or null where the repository does not use it. */
export type Ecosystem = (look: Look) => Proposal | null

const has = (look: Look, path: string): boolean => look.list().includes(path)
const present = (look: Look, paths: readonly string[]): string[] => paths.filter((path) => has(look, path))

type Installer = { lock: string; name: string; install: string; execute: string; tools: string[] }

const installers: readonly Installer[] = [
  { lock: 'package-lock.json', name: 'npm', install: 'npm ci', execute: 'npm run', tools: ['node', 'npm'] },
  { lock: 'npm-shrinkwrap.json', name: 'npm', install: 'npm ci', execute: 'npm run', tools: ['node', 'npm'] },
  {
    lock: 'pnpm-lock.yaml',
    name: 'pnpm',
    install: 'pnpm install --frozen-lockfile',
    execute: 'pnpm run',
    tools: ['node', 'pnpm'],
  },
  {
    lock: 'yarn.lock',
    name: 'yarn',
    install: 'yarn install --frozen-lockfile',
    execute: 'yarn run',
    tools: ['node', 'yarn'],
  },
  { lock: 'bun.lock', name: 'bun', install: 'bun install --frozen-lockfile', execute: 'bun run', tools: ['bun'] },
]

/** Gates in the order they are executed, the cheap ones first, and the names scripts have for them. */
const scriptGates: readonly (readonly [gate: string, scripts: readonly string[]])[] = [
  ['types', ['typecheck', 'type-check', 'types', 'check-types', 'tsc']],
  ['lint', ['lint']],
  ['format', ['format:check', 'fmt:check', 'check-format', 'prettier:check']],
  ['build', ['build']],
  ['test', ['test']],
]

const javascript: Ecosystem = (look) => {
  const text = look.read('package.json')
  if (text === null) return null
  const manifest = parseObject(text)
  if (!manifest) return { ...nothing('package.json'), missing: ['package.json is not valid JSON'] }
  const installer = installers.find(({ lock }) => has(look, lock))
  const { name, install, execute, tools } = installer ?? installers[0]!
  const scripts = stringsIn(manifest['scripts'])
  const gates = scriptGates.flatMap(([gate, names]) => {
    const script = names.find((each) => scripts[each] !== undefined && !/no test specified/.test(scripts[each]))
    return script === undefined ? [] : [{ name: gate, command: `${execute} ${script}` }]
  })
  const needs = ['dependencies', 'devDependencies', 'optionalDependencies'].some(
    (key) => Object.keys(stringsIn(manifest[key])).length > 0,
  )
  const missing: string[] = []
  if (needs && !installer)
    missing.push('package.json has dependencies but no lockfile: commit one, then set-up can be repeated exactly')
  const yarnBerry = name === 'yarn' && has(look, '.yarnrc.yml')
  const settings = present(look, ['.npmrc', '.yarnrc.yml', 'pnpm-workspace.yaml', '.pnpmfile.cjs'])
  return {
    found: `package.json${installer ? ` with ${installer.lock}` : ''}`,
    setup: installer && needs ? [yarnBerry ? 'yarn install --immutable' : install] : [],
    setupKey: installer && needs ? ['package.json', installer.lock, ...settings] : [],
    gates,
    toolchain: tools,
    missing,
  }
}

const python: Ecosystem = (look) => {
  const files = present(look, [
    'pyproject.toml',
    'requirements.txt',
    'requirements-dev.txt',
    'setup.py',
    'uv.lock',
    'poetry.lock',
  ])
  if (files.length === 0) return null
  const text = files.map((file) => look.read(file) ?? '').join('\n')
  const requirements = files.filter((file) => file.startsWith('requirements'))
  const environment = 'python3 -m venv .venv'
  const [setup, setupKey, tools, found] = has(look, 'uv.lock')
    ? [['uv sync --frozen'], ['pyproject.toml', 'uv.lock'], ['uv', 'python3'], 'uv.lock']
    : has(look, 'poetry.lock')
      ? [
          ['POETRY_VIRTUALENVS_IN_PROJECT=true poetry install --no-interaction'],
          ['pyproject.toml', 'poetry.lock'],
          ['poetry', 'python3'],
          'poetry.lock',
        ]
      : requirements.length > 0
        ? [
            [environment, `.venv/bin/pip install ${requirements.map((file) => `-r ${file}`).join(' ')}`],
            requirements,
            ['python3'],
            requirements.join(', '),
          ]
        : [[], [], ['python3'], files.join(', ')]
  const bin = setup.length > 0 ? '.venv/bin/' : ''
  const uses = (tool: string) => new RegExp(String.raw`(?:^|["'\s[.])${tool}(?![\w-])`, 'm').test(text)
  const gates = [
    ...(uses('ruff') ? [{ name: 'lint', command: `${bin}ruff check .` }] : []),
    ...(uses('mypy') ? [{ name: 'types', command: `${bin}mypy .` }] : []),
  ]
  const tests = look.list().some((path) => /(?:^|\/)(?:test_[^/]*|[^/]*_test)\.py$/.test(path))
  if (uses('pytest')) gates.push({ name: 'test', command: `${bin}python${bin === '' ? '3' : ''} -m pytest` })
  else if (tests) gates.push({ name: 'test', command: `${bin}python${bin === '' ? '3' : ''} -m unittest discover` })
  const missing: string[] = []
  if (setup.length === 0)
    missing.push(`${found} pins no versions: add uv.lock or requirements.txt, then dependencies can be set up`)
  return { found, setup, setupKey, gates, toolchain: tools, missing }
}

const go: Ecosystem = (look) => {
  if (!has(look, 'go.mod')) return null
  const needs = has(look, 'go.sum') && !look.list().some((path) => path.startsWith('vendor/'))
  return {
    found: 'go.mod',
    setup: needs ? ['go mod vendor'] : [], // into the tree: the module cache lies in HOME, which is emptied
    setupKey: needs ? ['go.mod', 'go.sum'] : [],
    gates: [
      { name: 'vet', command: 'go vet ./...' },
      { name: 'test', command: 'go test ./...' },
    ],
    toolchain: ['go'],
    missing: [],
  }
}

const rust: Ecosystem = (look) => {
  if (!has(look, 'Cargo.toml')) return null
  const locked = has(look, 'Cargo.lock')
  const home = 'CARGO_HOME="$PWD/.cargo-home"' // into the tree: the usual one lies in HOME, which is emptied
  return {
    found: locked ? 'Cargo.toml with Cargo.lock' : 'Cargo.toml',
    setup: locked ? [`${home} cargo fetch --locked`] : [],
    setupKey: locked ? ['Cargo.toml', 'Cargo.lock'] : [],
    gates: locked ? [{ name: 'test', command: `${home} cargo test --locked --offline` }] : [],
    toolchain: ['cargo', 'rustc', 'cc'],
    missing: locked ? [] : ['Cargo.lock is not committed: commit it, then set-up can be repeated exactly'],
  }
}

const make: Ecosystem = (look) => {
  const file = ['GNUmakefile', 'makefile', 'Makefile'].find((each) => has(look, each))
  const text = file === undefined ? null : look.read(file)
  if (file === undefined || text === null) return null
  const targets = [...text.matchAll(/^([A-Za-z0-9_.-]+)\s*:(?!=)/gm)].map((match) => match[1]!)
  const gates = ['lint', 'check', 'test']
    .filter((name) => targets.includes(name))
    .map((name) => ({ name, command: `make ${name}` }))
  return { ...nothing(file), gates, toolchain: ['make'] }
}

/** Dependencies of Java's tools lie in HOME, which is emptied: each is told of a folder in the tree instead. */
const maven: Ecosystem = (look) => {
  if (!has(look, 'pom.xml')) return null
  const program = has(look, 'mvnw') ? './mvnw' : 'mvn'
  const into = `${program} --batch-mode -Dmaven.repo.local=.m2/repository`
  return {
    found: 'pom.xml',
    // verify without tests fetches what the build itself needs, plugins of the test phase included; go-offline alone does not
    setup: [`${into} dependency:go-offline`, `${into} -DskipTests verify`],
    setupKey: ['pom.xml', ...present(look, ['.mvn/wrapper/maven-wrapper.properties', '.mvn/extensions.xml'])],
    gates: [{ name: 'test', command: `${into} --offline verify` }],
    toolchain: ['java', ...(program === 'mvn' ? ['mvn'] : [])],
    missing: [],
  }
}

const gradle: Ecosystem = (look) => {
  const files = present(look, ['build.gradle', 'build.gradle.kts', 'settings.gradle', 'settings.gradle.kts'])
  if (files.length === 0) return null
  const wrapped = has(look, 'gradlew')
  const into = `GRADLE_USER_HOME="$PWD/.gradle-home" ${wrapped ? './gradlew' : 'gradle'} --no-daemon`
  const locks = present(look, [
    'gradle.lockfile',
    'gradle/libs.versions.toml',
    'gradle/wrapper/gradle-wrapper.properties',
  ])
  return {
    found: files[0]!,
    setup: [`${into} testClasses`],
    setupKey: [...files, ...locks],
    gates: [{ name: 'test', command: `${into} --offline check` }],
    toolchain: ['java', ...(wrapped ? [] : ['gradle'])],
    missing: [],
  }
}

const bundler: Ecosystem = (look) => {
  const text = look.read('Gemfile')
  if (text === null) return null
  const locked = has(look, 'Gemfile.lock')
  const home = 'BUNDLE_PATH=vendor/bundle'
  const uses = (gem: string) => new RegExp(String.raw`^\s*gem\s+["']${gem}["']`, 'm').test(text)
  const files = look.list()
  const test =
    files.some((path) => path.startsWith('spec/')) || uses('rspec')
      ? 'rspec'
      : files.some((path) => path.startsWith('test/'))
        ? 'rake test'
        : null
  return {
    found: locked ? 'Gemfile with Gemfile.lock' : 'Gemfile',
    setup: locked ? [`${home} BUNDLE_FROZEN=true bundle install`] : [],
    setupKey: locked ? ['Gemfile', 'Gemfile.lock', ...present(look, ['.ruby-version'])] : [],
    gates: locked
      ? [
          ...(uses('rubocop') ? [{ name: 'lint', command: `${home} bundle exec rubocop` }] : []),
          ...(test === null ? [] : [{ name: 'test', command: `${home} bundle exec ${test}` }]),
        ]
      : [],
    toolchain: ['ruby', 'bundle'],
    missing: locked ? [] : ['Gemfile.lock is not committed: commit it, then set-up can be repeated exactly'],
  }
}

/** Known by sight, but not well enough to propose anything. */
const strangers: readonly (readonly [file: RegExp, what: string])[] = [
  [/^composer\.json$/, 'Composer'],
  [/^mix\.exs$/, 'Mix'],
  [/^[^/]+\.(?:sln|csproj)$/, '.NET'],
  [/^CMakeLists\.txt$/, 'CMake'],
  [/^(?:deno\.jsonc?)$/, 'Deno'],
]

/** One line per thing that is there and that nothing here knows how to set up. */
export function unknownTo(look: Look): string[] {
  const files = look.list()
  const seen = strangers.flatMap(([pattern, what]) => {
    const file = files.find((path) => pattern.test(path))
    return file === undefined ? [] : [`${file}: ${what} is not proposed for; write its setup and gates by hand`]
  })
  const nested = files.filter((path) =>
    /^(?!.*(?:node_modules|vendor|test|fixture)).+\/(?:package\.json|pyproject\.toml|go\.mod|Cargo\.toml|pom\.xml|Gemfile)$/.test(
      path,
    ),
  )
  const workspaces = nested.slice(0, 3).join(', ')
  return nested.length === 0
    ? seen
    : [...seen, `only the root was looked at; there is also ${workspaces}${nested.length > 3 ? ' …' : ''}`]
}

export const ecosystems: readonly Ecosystem[] = [javascript, python, go, rust, maven, gradle, bundler, make]

const nothing = (found: string): Proposal => ({ found, setup: [], setupKey: [], gates: [], toolchain: [], missing: [] })

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    return null // the caller says so
  }
}

function stringsIn(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}
