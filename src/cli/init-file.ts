/** The texts of the two files init writes, with the comments a person needs at that moment. Pure. */
import type { KeySource } from '../core/setting.ts'
import type { Addition } from '../host/yaml-edit.ts'

/** One model per vendor, all in the bundled price table, pinned: a model that changes under one's feet changes price and quality. */
export const pinnedModels: Readonly<Record<string, string>> = {
  anthropic: 'claude-opus-5-5',
  openai: 'gpt-6-sol',
  google: 'gemini-3.8-flash',
}

/** `key`: where it was found. What `keys set` stored is looked for by itself and not written down. */
export type FoundFamily = { family: string; agent: string; key: KeySource; model: string }

/** The families with a key, each with its pinned model. */
export const familiesWithKey = (
  found: readonly { family: string; agent: string; key: KeySource | null }[],
): FoundFamily[] =>
  found.flatMap(({ family, agent, key }) => {
    const model = pinnedModels[family]
    return key && model ? [{ family, agent, key, model }] : []
  })

const variableOf = ({ key }: FoundFamily): string | null => ('env' in key ? key.env : null)

/** numbers.md, row review: what so many usable families can keep. */
export const reviewPromise = (usable: number): string =>
  usable >= 3
    ? `with ${usable} usable families, two others review each change`
    : usable === 2
      ? 'with two usable families, the other one reviews each change and a person approves it in place of the third'
      : usable === 1
        ? 'with one usable family nobody else can review: a person approves each change, and the blind review beside it never counts'
        : 'no family is usable yet, so nothing can be written or reviewed'

const modelLine = ({ model }: FoundFamily): string[] => [
  `    models: { architect: ${model}, implementer: ${model}, reviewer: ${model} }`,
]

/** The operator's file, as it is first written. */
export function operatorText(families: readonly FoundFamily[], chosen: { usable: number; day?: string }): string {
  const entries = families.flatMap((each) => [
    `  ${each.family}:`,
    `    agent: ${each.agent}`,
    ...(variableOf(each) === null ? [] : [`    keyFrom: { env: ${variableOf(each)} }`]),
    ...modelLine(each),
  ])
  return `${[
    '# yaml-language-server: $schema=operator.schema.json',
    '# Your settings for tri-agent. Only this file sets money, keys and what may land; a repository can only tighten it.',
    '# Keys stay where they are: in the environment, or where tri-agent keys set put them. What is in force: tri-agent config show --origin',
    `# Review: ${reviewPromise(chosen.usable)}. Two others where there are three; security and protected paths ask for a person too.`,
    ...(entries.length > 0
      ? ['families:', ...entries]
      : [
          '# A family appears here once it has a key (tri-agent keys set anthropic) and you type: tri-agent init',
          'families: {}',
        ]),
    `money: { day: ${chosen.day ?? '$75'}, task: $10 }`,
    '# true: land without a person wherever the review policy asks for none',
    'unattended: false',
  ].join('\n')}\n`
}

/** What an operator's file that is there already lacks. */
export const operatorAdditions = (families: readonly FoundFamily[]): Addition[] =>
  families.map((each) => ({
    path: ['families', each.family],
    value: {
      agent: each.agent,
      ...(variableOf(each) === null ? {} : { keyFrom: { env: variableOf(each) } }),
      models: { architect: each.model, implementer: each.model, reviewer: each.model },
    },
  }))

export type Proposed = {
  found: readonly string[]
  setup: readonly string[]
  setupKey: readonly string[]
  gates: readonly { name: string; command: string }[]
  toolchain: readonly string[]
}

/** A plain word stays as it is; anything else becomes a JSON string, which is YAML too. */
const scalar = (text: string): string =>
  /^[A-Za-z][\w ./@+-]*[\w/]$/.test(text) && !/^(?:true|false|null|yes|no|on|off)$/i.test(text)
    ? text
    : JSON.stringify(text)

const list = (words: readonly string[]): string => `[${words.map(scalar).join(', ')}]`

/** The repository's file, as it is first written. */
export function repositoryText({ found, setup, setupKey, gates, toolchain }: Proposed): string {
  return `${[
    `# How tri-agent sets this repository up and tests it${found.length > 0 ? `; proposed from ${found.join(', ')}` : ''}.`,
    '# Read from the base commit, never from the work tree: commit it. It can only tighten what the operator allows.',
    ...(setup.length > 0
      ? [
          '',
          '# Fetches dependencies, in a sandbox, once per content of setupKey. The only step that reaches package registries.',
          'setup:',
          ...setup.map((command) => `  - ${scalar(command)}`),
          `setupKey: ${list(setupKey)}`,
        ]
      : []),
    ...(toolchain.length > 0 ? ['', '# Programs that set-up and gates need.', `toolchain: ${list(toolchain)}`] : []),
    '',
    '# What must be green before anything is reviewed or lands.',
    ...(gates.length > 0
      ? [
          'gates:',
          ...gates.flatMap(({ name, command }) => [`  - name: ${scalar(name)}`, `    command: ${scalar(command)}`]),
        ]
      : [
          '# No command that tests was found: nothing can be verified until you name one.',
          'gates: []',
          '#  - name: test',
          '#    command: make test',
        ]),
  ].join('\n')}\n`
}

/** What a repository's file that is there already lacks. */
export const repositoryAdditions = ({ setup, setupKey, gates, toolchain }: Proposed): Addition[] =>
  [
    { path: ['setup'], value: setup },
    { path: ['setupKey'], value: setupKey },
    { path: ['toolchain'], value: toolchain },
    { path: ['gates'], value: gates },
  ].filter(({ value }) => value.length > 0)
