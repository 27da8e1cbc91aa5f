/**
 * The two config files as `init` writes them: what was chosen, and beside it, commented out, what could be chosen. What is written here is read
 * back by config.ts to the same settings. It never writes a key.
 */
import { showDuration, showSize, showUsd } from '../core/quantity.ts'
import { defaultSettings, type FamilySettings, vendors } from '../core/setting.ts'
import type { Detected } from './detect.ts'

export type ChosenFamily = Pick<FamilySettings, 'models'> &
  Partial<Pick<FamilySettings, 'agent' | 'baseUrl' | 'program' | 'keyFrom'>>

/** The operator's file. Values equal to a vendor's default are left out, so that later defaults are followed. */
export function writeOperatorConfig(chosen: {
  families: Readonly<Record<string, ChosenFamily>>
  rung?: 'namespace' | 'group'
  http?: { host: string; port: number }
}): string {
  const { money, rung, landing, http, patience } = defaultSettings(2)
  const families = Object.entries(chosen.families).flatMap(([name, family]) => familyLines(name, family))
  const port = chosen.http ?? http
  const lines = [
    '# tri-agent: what the operator of this machine allows. Every setting with its value and origin: tri-agent config show --origin',
    '',
    '# Model families. Work of one is reviewed by the others, so two or three are wanted. Keys stay where keyFrom says; agents never see one.',
    ...(families.length > 0 ? ['families:', ...families] : ['# families:', ...exampleFamily]),
    '',
    '# No request leaves once one of these is reached.',
    'money:',
    `  day: ${showUsd(money.dayNanoUsd)}`,
    `  task: ${showUsd(money.taskNanoUsd)}`,
    '',
    '# The weakest containment accepted. `group` holds neither files nor network: promises 3-6 of the README are lost.',
    `rung: ${chosen.rung ?? rung}`,
    '',
    '# Work lands on a branch of our own. `unattended: true` lands without asking a person, where the review policy asks for none.',
    'unattended: false',
    'landing:',
    `  branch: ${landing.branch}`,
    '',
    '# Health and status. Port 0 takes any free one.',
    'http:',
    `  host: ${JSON.stringify(port.host)}`,
    `  port: ${port.port}`,
    '',
    '# How long an attempt may be silent, by the size of its task, and how long it may take at all.',
    `# patience: { small: ${showDuration(patience.smallMs)}, medium: ${showDuration(patience.mediumMs)}, large: ${showDuration(patience.largeMs)}, grace: ${patience.grace}, wall: ${showDuration(patience.wallMs)} }`,
    ...slotLines(),
    '',
    '# Prices the bundled table lacks, in US dollars per million tokens. A model without a price is refused.',
    '# prices:',
    '#   some-model: { input: 0.6, output: 2.2 }',
  ]
  return `${lines.join('\n')}\n`
}

const exampleFamily = [
  '#   anthropic:',
  '#     keyFrom: { env: ANTHROPIC_API_KEY }',
  '#     models: { architect: …, implementer: …, reviewer: … }',
]

function slotLines(): string[] {
  const { slots, sizes } = defaultSettings(2)
  return [
    '',
    '# How much happens at once, and how large things may be.',
    `# slots: { implementer: ${slots.implementer}, reviewer: ${slots.reviewer}, architect: ${slots.architect} }`,
    `# sizes: { taskText: ${showSize(sizes.taskTextBytes)}, bundle: ${showSize(sizes.bundleBytes)}, diff: ${showSize(sizes.diffBytes)} }`,
  ]
}

function familyLines(name: string, { agent, baseUrl, program, keyFrom, models }: ChosenFamily): string[] {
  const vendor = vendors[name]
  const say = (key: string, value: unknown, fallback: unknown) =>
    value === undefined || value === null || value === fallback ? [] : [`    ${key}: ${JSON.stringify(value)}`]
  if (keyFrom && 'value' in keyFrom) throw new Error('a key is never written into a config file')
  return [
    `  ${name}:`,
    ...say('agent', agent, vendor?.agent),
    ...say('program', program, null),
    ...say('baseUrl', baseUrl, vendor?.baseUrl),
    ...say('keyFrom', keyFrom ?? (vendor ? { env: vendor.keyVariables[0] } : undefined), undefined),
    '    models:',
    ...Object.entries(models).map(([role, model]) => `      ${role}: ${JSON.stringify(model)}`),
  ]
}

/** The repository's file, from what was detected in it and the branch work starts from. */
export function writeRepositoryConfig({ base, detected }: { base: string | null; detected: Detected }): string {
  const { setup, setupKey, gates, toolchain, missing, found } = detected
  const list = (key: string, values: readonly string[]) =>
    values.length === 0 ? [`${key}: []`] : [`${key}:`, ...values.map((value) => `  - ${JSON.stringify(value)}`)]
  const lines = [
    '# tri-agent: how this repository is set up and tested. Read from the base commit only; changing it asks for a person.',
    ...(found.length > 0 ? [`# Proposed from ${found.join('; ')}.`] : []),
    ...missing.map((each) => `# Please check: ${each.replaceAll(/\s+/g, ' ')}.`),
    '',
    ...(base === null ? [] : ['# Work starts from this branch.', `base: ${JSON.stringify(base)}`, '']),
    '# Fetches dependencies into the work tree, once per content of the setupKey files.',
    ...list('setup', setup),
    ...list('setupKey', setupKey),
    '',
    '# Programs these commands need; they are looked up on the PATH of whoever starts tri-agent.',
    ...list('toolchain', toolchain),
    '',
    '# Executed on every change, without network. baseline: block (default), allow (only new failures block) or off. timeout: 5m, tests 30m.',
    ...(gates.length === 0
      ? ['gates: []']
      : [
          'gates:',
          ...gates.flatMap(({ name, command }) => [
            `  - name: ${JSON.stringify(name)}`,
            `    command: ${JSON.stringify(command)}`,
          ]),
        ]),
    '',
    '# Changing one of these asks for a person, beside lockfiles, CI and instructions for agents, which always do.',
    "# protectedPaths: ['db/migrations/**']",
    '',
    '# May only ask for more than the operator does.',
    '# review: { families: 3, person: true }',
    '# money: { task: $5 }',
  ]
  return `${lines.join('\n')}\n`
}
