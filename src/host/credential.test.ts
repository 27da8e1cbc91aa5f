import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import type { Credential } from '../core/setting.ts'
import { loadConfig } from './config.ts'
import { readCredential } from './credential.ts'

async function withFolder<T>(body: (folder: string) => Promise<T> | T): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'tri-agent-credential-'))
  try {
    return await body(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const rest = { repositories: null, whenChanged: false }

test('the settings say hosts and credentials of set-up, and show where each is found, never what it is', () =>
  withFolder(async (folder) => {
    const file = join(folder, 'config.yaml')
    const text = `setup:
  hosts: [npm.example.com, '*.corp.example', nexus.example:8443]
  credentials:
    - { variable: NPM_TOKEN, from: { env: CORP_TOKEN }, repositories: shop }
    - { file: .npmrc, from: { file: ~/npmrc }, whenChanged: true }
`
    writeFileSync(file, text, { mode: 0o600 })
    const loaded = await loadConfig({ file, env: { CORP_TOKEN: 'hidden' } })
    assert.ok(!isRefusal(loaded))
    assert.deepEqual(loaded.settings.setup, {
      hosts: ['npm.example.com', '*.corp.example', 'nexus.example:8443'],
      credentials: [
        { name: 'NPM_TOKEN', as: 'variable', from: { env: 'CORP_TOKEN' }, repositories: ['shop'], whenChanged: false },
        { name: '.npmrc', as: 'file', from: { file: '~/npmrc' }, repositories: null, whenChanged: true },
      ],
    })
    assert.deepEqual(
      loaded.origins.filter(({ key }) => key.startsWith('setup')).map(({ key, value }) => [key, value]),
      [
        ['setup.hosts', 'npm.example.com, *.corp.example, nexus.example:8443'],
        ['setup.credentials.NPM_TOKEN', 'variable from env CORP_TOKEN'],
        ['setup.credentials..npmrc', 'file from file ~/npmrc'],
      ],
    )
  }))

test('a host that is none, and a credential that is two things or lies outside HOME, are refused with their line', () =>
  withFolder(async (folder) => {
    const file = join(folder, 'config.yaml')
    const text = `setup:
  hosts: ['https://npm.example.com/', '*']
  credentials:
    - { variable: A, file: .npmrc, from: { env: A } }
    - { file: ../../etc/passwd, from: { env: A } }
    - { variable: A, from: { value: written-down } }
`
    writeFileSync(file, text, { mode: 0o600 })
    const refused = await loadConfig({ file, env: {} })
    assert.ok(isRefusal(refused))
    assert.deepEqual(
      refused.why.split('\n').map((line) => line.slice(file.length).split(': ').slice(0, 2).join(' ')),
      [
        ':2 setup.hosts.0',
        ':2 setup.hosts.1',
        ':4 setup.credentials.0',
        ':5 setup.credentials.1.file',
        ':6 setup.credentials.2.from',
      ],
    )
    assert.doesNotMatch(refused.why, /written-down/)
  }))

test('of a file every token, password and user:password is a secret, and no host, path or word of its grammar', () =>
  withFolder((folder) => {
    const secretsOf = (text: string) => {
      writeFileSync(join(folder, 'file'), text, { mode: 0o600 })
      const from = { file: 'file' }
      const read = readCredential({ name: 'f', as: 'file', from, ...rest }, {}, join(folder, 'config.yaml'))
      return isRefusal(read) ? read : read.secrets
    }
    const files = [
      'registry=https://npm.example.com/\n//npm.example.com/:_authToken=abcdef\nalways-auth=true\n',
      'machine pypi.example.com login ada password hunter2\n',
      '[global]\nindex-url = https://ada:S3cretWord@pypi.example.com/simple\n',
      '<server><id>corp</id><password>letmein</password></server>',
    ]
    assert.deepEqual(files.map(secretsOf), [['abcdef', 'true'], ['hunter2'], ['S3cretWord'], ['letmein']])
  }))

test('a credential that is not there, is empty or can be read by others is refused with its name', () =>
  withFolder((folder) => {
    const open = join(folder, 'open')
    writeFileSync(open, 'secret', { mode: 0o600 })
    chmodSync(open, 0o644)
    const of = (from: Credential['from']) => {
      const read = readCredential(
        { name: 'NPM_TOKEN', as: 'variable', from, ...rest },
        { HOME: folder },
        join(folder, 'c'),
      )
      return isRefusal(read) ? [read.refused, read.why.replaceAll(folder, '~')] : read.text
    }
    assert.deepEqual(
      [of({ env: 'UNSET' }), of({ file: '~/none' }), of({ file: open })],
      [
        ['credential-missing', 'setup.credentials: NPM_TOKEN: UNSET is not set'],
        ['credential-missing', 'setup.credentials: NPM_TOKEN: ~/none cannot be read (ENOENT)'],
        ['config-unsafe', 'setup.credentials: ~/open can be read by others'],
      ],
    )
    chmodSync(open, 0o600)
    assert.equal(of({ file: '~/open' }), 'secret')
  }))
