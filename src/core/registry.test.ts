import assert from 'node:assert/strict'
import test from 'node:test'
import { hostsSaid, mayReach, registriesOf, sayingsOf } from './registry.ts'

test('a program that can say where it asks is asked, one that fetches nothing is not', () => {
  const asked = (command: string) => sayingsOf([command]).map(([program]) => program)
  assert.deepEqual(asked('npm ci'), ['npm'])
  assert.deepEqual(asked('pnpm install --frozen-lockfile && npx husky'), ['npm'])
  assert.deepEqual(asked('go mod vendor; bundle install'), ['go', 'gem'])
  assert.deepEqual(asked('CARGO_HOME="$PWD/.cargo-home" cargo fetch --locked'), [])
  assert.deepEqual([asked('make deps'), asked('echo npmish')], [[], []])
})

test('of what a program says, hosts are taken: URLs and bare names, no words, no addresses', () => {
  assert.deepEqual(hostsSaid('https://npm.corp.example/\n'), ['npm.corp.example'])
  assert.deepEqual(hostsSaid('https://Proxy.example.org:8443/go,direct|off\nsum.example.org\n'), [
    'proxy.example.org:8443',
    'sum.example.org',
  ])
  assert.deepEqual(hostsSaid('*** CURRENT SOURCES ***\n\nhttps://gems.example.org/\n'), ['gems.example.org'])
  assert.deepEqual(hostsSaid('http://127.0.0.1:4873/ undefined file:///tmp/x direct'), [])
})

test('a lockfile names its own hosts, and a link in it that is no registry is not one', () => {
  const named = (path: string, text: string) => registriesOf([], [{ path, text }])
  assert.deepEqual(
    named(
      'package-lock.json',
      '"resolved": "https://npm.corp.example/a/-/a-1.tgz",\n"funding": { "url": "https://opencollective.com/a" }\n"resolved": "https://npm.corp.example:8443/b.tgz"',
    ),
    ['npm.corp.example', 'npm.corp.example:8443'],
  )
  assert.deepEqual(named('yarn.lock', '  resolved "https://y.example.com/a.tgz#1"'), ['y.example.com'])
  assert.deepEqual(named('.npmrc', '@corp:registry=https://npm.corp.example/\n//npm.corp.example/:_authToken=${T}'), [
    'npm.corp.example',
  ])
  assert.deepEqual(named('uv.lock', 'source = { registry = "https://pypi.corp.example/simple" }'), [
    'pypi.corp.example',
  ])
  assert.deepEqual(named('requirements.txt', '--extra-index-url https://user:pw@pypi.corp.example/simple\nflask==3'), [
    'pypi.corp.example',
  ])
  assert.deepEqual(named('Gemfile.lock', 'GEM\n  remote: https://gems.corp.example/\n'), ['gems.corp.example'])
  assert.deepEqual(
    named(
      'Cargo.lock',
      'source = "registry+https://github.com/rust-lang/crates.io-index"\nsource = "git+https://git.example.com/x"',
    ),
    ['git.example.com'],
  )
  assert.deepEqual(
    named(
      'pom.xml',
      '<project><url>https://home.example</url><repositories><repository><id>a</id><url>https://mvn.example/x</url></repository></repositories></project>',
    ),
    ['mvn.example'],
  )
  assert.deepEqual(named('README.md', '"resolved": "https://no.example/"'), [])
})

test('a repository cannot name an address or this machine', () => {
  const text = ['127.0.0.1', '169.254.169.254', 'localhost', 'x.localhost', 'intranet', '[::1]']
    .map((host) => `"resolved": "https://${host}/a.tgz"`)
    .join('\n')
  assert.deepEqual(registriesOf([], [{ path: 'package-lock.json', text }]), [])
})

test('a name means the usual port, a star means what lies below, and nothing else is reached', () => {
  const allowed = ['registry.example', 'other.example:8443', '*.corp.example']
  const reached = [
    ['registry.example', 443],
    ['REGISTRY.example.', 443],
    ['registry.example', 8443],
    ['evil-registry.example', 443],
    ['registry.example.evil.example', 443],
    ['other.example', 8443],
    ['other.example', 443],
    ['a.corp.example', 443],
    ['corp.example', 443],
    ['evilcorp.example', 443],
  ] as const
  assert.deepEqual(
    reached.map(([host, port]) => mayReach(allowed, host, port, 443)),
    [true, true, false, false, false, true, false, true, false, false],
  )
})
