/** What a task is about, as agents are told it. */
import type { Work } from './stage.ts'

/** What the task says, else what the repository says, else all of it. */
export const pathOf = ({ task, repository }: Work): string => task.path ?? repository.path ?? '.'

export const tellPath = (work: Work): string => {
  const path = pathOf(work)
  return path === '.' ? 'the whole repository' : `${path}; a change outside of it needs a person's approval`
}
