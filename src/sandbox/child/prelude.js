// Runs before the program: its console and timers, and how its result becomes JSON.
// What a program does to anything in here it does to its own result only.
(function (write, clock) {
  "use strict";
  const { stringify } = JSON;
  const { isFinite, isInteger } = Number;
  const isArray = Array.isArray;
  const opaque = [Map, Set, WeakMap, WeakSet, Promise, RegExp, ArrayBuffer];
  const text = String;
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
      write(stream, line + "\n");
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

  let timers = [];
  let last = 0;
  define("setTimeout", (callback, delay, ...values) => {
    if (typeof callback !== "function") throw new TypeError("setTimeout needs a function");
    const wait = +delay > 0 ? +delay : 0;
    last += 1;
    timers = [...timers, { id: last, due: clock() + wait, callback, values }];
    return last;
  });
  define("clearTimeout", (id) => {
    timers = timers.filter((timer) => timer.id !== id);
  });

  function first() {
    let next = null;
    for (const timer of timers) if (next === null || timer.due < next.due) next = timer;
    return next;
  }

  const rejected = new Map();

  return {
    // Told of a promise that was rejected, and again when something handles it after all.
    watch(promise, reason, isHandled) {
      if (isHandled) rejected.delete(promise);
      else rejected.set(promise, reason);
    },
    // Throws what a promise was rejected with that nothing has handled.
    complain() {
      for (const reason of rejected.values()) throw reason;
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
      timers = timers.filter((timer) => timer !== next);
      next.callback(...next.values);
    },
    // The JSON of a result, or an error that says what has none.
    settle(result) {
      if (result === undefined) return "null";
      return stringify(result, function (key, value) {
        const place = key === "" ? "result" : `result holds at ${stringify(key)}`;
        const is = key === "" ? "is" : "";
        switch (typeof value) {
          case "number":
            if (isFinite(value)) return value;
            throw new TypeError(`${place} ${is} ${value}, which JSON cannot carry`);
          case "bigint":
            return value >= -LARGEST && value <= LARGEST ? +text(value) : text(value);
          case "function":
          case "symbol":
            throw new TypeError(`${place} ${is} a ${typeof value}, which JSON cannot carry`);
          case "object":
            for (const kind of opaque) {
              if (value instanceof kind) {
                throw new TypeError(`${place} ${is} a ${kind.name}, which JSON cannot carry`);
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
