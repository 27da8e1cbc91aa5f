/** What init asks a person at a terminal. Loaded only there: the prompts come from a library. Writes nothing. */
import { cancel, confirm, intro, isCancel, multiselect, note, text } from '@clack/prompts'
import { parseUsd } from '../core/quantity.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { Detected } from '../host/detect.ts'

const left = (): Refusal => {
  cancel('Nothing was written.')
  return refuse('left', 'you left before anything was written', 'tri-agent init, or tri-agent init --yes')
}

/** Asks which of the proposed gates are wanted and how much a day may cost; answers the proposal as it shall be written. Refuses `left`. */
export async function askAbout(
  { detected, isFirst, name }: { detected: Detected; isFirst: boolean; name: string },
  whole: Detected,
): Promise<(Detected & { day?: string }) | Refusal> {
  intro(`tri-agent in ${name}`)
  const { gates, setup } = detected
  if (setup.length > 0) note(setup.join('\n'), 'Set-up: fetches dependencies, in a sandbox')
  const kept =
    gates.length === 0
      ? gates.map(({ name: gate }) => gate)
      : await multiselect({
          message: 'What must be green before anything lands?',
          options: gates.map(({ name: gate, command }) => ({ value: gate, label: gate, hint: command })),
          initialValues: gates.map(({ name: gate }) => gate),
          required: false,
        })
  if (isCancel(kept)) return left()
  const day = isFirst
    ? await text({
        message: 'How much may all of it cost a day?',
        initialValue: '$75',
        validate: (said) => (parseUsd(said ?? '') === null ? 'an amount in dollars, such as $10' : undefined),
      })
    : undefined
  if (isCancel(day)) return left()
  const goes = await confirm({ message: 'Write this down?' })
  if (isCancel(goes) || !goes) return left()
  return {
    ...whole,
    gates: gates.length === 0 ? whole.gates : gates.filter(({ name: gate }) => kept.includes(gate)),
    ...(day === undefined ? {} : { day }),
  }
}

/** A plain question; leaving it is a no. */
export async function agrees(message: string): Promise<boolean> {
  const answer = await confirm({ message, initialValue: false })
  return !isCancel(answer) && answer
}
