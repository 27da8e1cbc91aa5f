/** Turns of the event loop: waiting for one, waiting without one, and seeing whether one passes inside a transaction, where nothing foreign may be awaited. */

/** Of those it watches one after the other, it rejects the one during which the event loop turned: who comes after it is not to blame. */
export type Watch = { over<T>(body: () => Promise<T>): Promise<T>; end(): void }

export function watchTurns(): Watch {
  let turned = (_: Error): void => {}
  let looking: NodeJS.Immediate | null = null
  const look = (): void => {
    looking = null // the next one sets it again; nobody is there to be watched until then
    turned(new Error('a timer tick passed inside a transaction: something foreign was awaited in it'))
  }
  return {
    over: (body) =>
      new Promise((resolve, reject) => {
        turned = reject
        looking ??= setImmediate(look) // before anything that the body may wait for
        body().then(resolve, reject)
      }),
    end: () => void (looking && clearImmediate(looking)),
  }
}

/** Resolves when everything has settled that can without a turn of the event loop. */
export const everybody = (): Promise<void> => new Promise((resolve) => queueMicrotask(() => process.nextTick(resolve)))

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
