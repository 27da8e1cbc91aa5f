/** What the operator's file alone may say, said by a repository: each must be refused there, and must be a thing that the operator's own file can say. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isRefusal } from '../../src/core/refusal.ts'
import { loadConfig, parseRepositoryConfig, tighten } from '../../src/host/config.ts'
import type { Verdict } from '../../src/sandbox/assault.ts'

/** Money, keys, rung, what is mounted into a sandbox with secrets of set-up, network, landing rights, and how much is judged. */
const wishes: readonly { name: string; text: string }[] = [
  { name: 'more money a day', text: 'money: { day: $1000 }' },
  { name: 'more money a task than the operator gives', text: 'money: { task: $1000 }' },
  { name: 'keys from elsewhere', text: 'families: { anthropic: { keyFrom: { file: /etc/passwd }, models: m } }' },
  { name: 'a lower rung', text: 'rung: group' },
  { name: 'credentials for set-up', text: 'setup: { credentials: [{ variable: TOKEN, from: { env: HOME } }] }' },
  { name: 'more hosts for set-up', text: 'setup: { hosts: [evil.example.com] }' },
  { name: 'to land without a person', text: 'unattended: true' },
  { name: 'another branch to land on', text: 'landing: { branch: main }' },
  { name: 'to be heard on another address', text: 'http: { host: 0.0.0.0 }' },
]

/** One verdict for each: the operator may say it, a repository may not. */
export async function wishForSettings(): Promise<Verdict[]> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-redteam-'))
  const file = join(folder, 'config.yaml')
  const load = async (text: string) => {
    await writeFile(file, text, { mode: 0o600 })
    return loadConfig({ file, env: { HOME: folder } })
  }
  try {
    const usual = await load('')
    if (isRefusal(usual)) throw new Error(usual.why)
    const verdicts: Verdict[] = []
    for (const { name, text } of wishes) {
      const allowed = await load(text)
      if (isRefusal(allowed)) {
        verdicts.push({ name, group: 'setting', state: 'idle', why: allowed.why })
        continue
      }
      const parsed = await parseRepositoryConfig(text, 'tri-agent.yaml')
      const refused = isRefusal(parsed) || isRefusal(tighten(usual.settings, parsed))
      verdicts.push({ name, group: 'setting', state: refused ? 'held' : 'breached' })
    }
    return verdicts
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
