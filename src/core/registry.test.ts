import assert from 'node:assert/strict'
import test from 'node:test'
import { mayReach, registriesOf } from './registry.ts'

test('each package manager brings its own registries, and a program that fetches nothing brings none', () => {
  const hosts = (command: string) => registriesOf([command], [])
  assert.deepEqual(hosts('npm ci'), ['npm.example.com', 'yarn.example.com'])
  assert.deepEqual(hosts('python3 -m venv .venv && .venv/bin/pip install -r requirements.txt'), [
    'pip.example.com',
    'files.example.com',
  ])
  assert.deepEqual(hosts('CARGO_HOME="$PWD/.cargo-home" cargo fetch --locked'), ['index.cargo.example.com', 'static.cargo.example.com'])
  assert.deepEqual(hosts('go mod vendor'), ['proxy.go.example.com', 'sum.go.example.com'])
  assert.deepEqual(hosts('./mvnw dependency:go-offline'), ['repo.maven.example.com', 'repo1.maven.example.com'])
  assert.deepEqual(hosts('bundle install'), ['gems.example.com', 'index.gems.example.com'])
  assert.deepEqual(hosts('make deps'), [])
  assert.deepEqual(hosts('echo npmish'), [])
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
