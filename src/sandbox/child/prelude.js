// Runs before the program: its console and timers, and how its result becomes JSON.
// What a program does to anything in here it does to its own result only.
(function (write, clock) {
  "use strict";
  const { stringify } = JSON;
  const { isFinite } = Number;
  const opaque = [Map, Set, WeakMap, WeakSet, Promise, RegExp, ArrayBuffer];
  const text = String;
  const { apply } = Reflect;
  const { toWellFormed } = String.prototype;
  const LARGEST = 2n ** 53n;

  function shown(value) {
    if (typeof value === "string") return value;
    if (typeof value === "bigint") return `${value}n`;
    if (value instanceof Error) return value.stack ? `${value}\n${value.stack}` : `${value}`;
    if (typeof value === "object" && value !== null) {
      try {
        return stringify(value, (_, item) => (typeof item === "bigint" ? `${item}n` : item)) ?? text(value);
      } catch {
        return text(value);
      }
    }
    return text(value);
  }

  function printer(stream) {
    return (...values) => {
      let line = "";
      for (let i = 0; i < values.length; i += 1) line += (i ? " " : "") + shown(values[i]);
      write(stream, apply(toWellFormed, line, []) + "\n");
    };
  }

  const console = {};
  for (const name of ["log", "info", "debug", "dir"]) console[name] = printer(1);
  for (const name of ["warn", "error", "trace"]) console[name] = printer(2);
  console.assert = (holds, ...values) => {
    if (!holds) console.error("Assertion failed:", ...values);
  };
  const define = (name, value) =>
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
  define("console", console);

  // Lists are walked by their indexes: a program may have changed what iterators and methods do.
  function without(list, isOut) {
    const rest = [];
    for (let i = 0; i < list.length; i += 1) if (!isOut(list[i])) rest[rest.length] = list[i];
    return rest;
  }

  let timers = [];
  let last = 0;
  define("setTimeout", (callback, delay, ...values) => {
    if (typeof callback !== "function") throw new TypeError("setTimeout needs a function");
    const wait = +delay > 0 ? +delay : 0;
    last += 1;
    timers[timers.length] = { id: last, due: clock() + wait, callback, values };
    return last;
  });
  define("clearTimeout", (id) => {
    timers = without(timers, (timer) => timer.id === id);
  });

  function first() {
    let next = null;
    for (let i = 0; i < timers.length; i += 1) {
      if (next === null || timers[i].due < next.due) next = timers[i];
    }
    return next;
  }

  let rejected = [];

  return {
    // Told of a promise that was rejected, and again when something handles it after all.
    watch(promise, reason, isHandled) {
      if (isHandled) rejected = without(rejected, (one) => one.promise === promise);
      else rejected[rejected.length] = { promise, reason };
    },
    // Throws what a promise was rejected with that nothing has handled.
    complain() {
      if (rejected.length > 0) throw rejected[0].reason;
    },
    // Milliseconds until the next timer is due; negative without one.
    wait() {
      const next = first();
      if (next === null) return -1;
      return next.due > clock() ? next.due - clock() : 0;
    },
    // Calls back the next timer.
    fire() {
      const next = first();
      timers = without(timers, (timer) => timer === next);
      apply(next.callback, undefined, next.values);
    },
    // The JSON of a result, or an error that says what has none.
    settle(result) {
      if (result === undefined) return "null";
      return stringify(result, function (key, value) {
        const place = key === "" ? "result is" : `result holds at ${stringify(key)}`;
        switch (typeof value) {
          case "number":
            if (isFinite(value)) return value;
            throw new TypeError(`${place} ${value}, which JSON cannot carry`);
          case "bigint":
            return value >= -LARGEST && value <= LARGEST ? +text(value) : text(value);
          case "function":
          case "symbol":
            throw new TypeError(`${place} a ${typeof value}, which JSON cannot carry`);
          case "object":
            for (let i = 0; i < opaque.length; i += 1) {
              if (value instanceof opaque[i]) {
                throw new TypeError(`${place} a ${opaque[i].name}, which JSON cannot carry`);
              }
            }
            return value;
          default:
            return value;
        }
      });
    },
  };
})
