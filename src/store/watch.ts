/** Sees whether something foreign is awaited inside a transaction: then the event loop turns before it ends. One timer for all parts of a commit. */

/** Of those it watches one after the other, it rejects the one during which the event loop turned: who comes after it is not to blame. */
export type Watch = { over<T>(body: Promise<T>): Promise<T>; end(): void }

export function watchTurns(): Watch {
  let turned = (_: Error): void => {}
  const look = (): void => {
    turned(new Error('a timer tick passed inside a transaction: something foreign was awaited in it'))
    looking = setImmediate(look)
  }
  let looking = setImmediate(look)
  return {
    over: (body) =>
      new Promise((resolve, reject) => {
        turned = reject
        body.then(resolve, reject)
      }),
    end: () => clearImmediate(looking),
  }
}
