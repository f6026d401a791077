// The Worker's entry: hands each event to the core.
import * as core from "./index.js";

const health = core.__worker_init_state();

// The core has no panicking path; if it traps all the same, its memory is not to be trusted again, and the next event gets
// a fresh instance.
function heal() {
  if (health.criticalError) {
    core.__wbg_reset_state();
    health.criticalError = false;
  }
}

addEventListener("error", ({ error }) => {
  health.criticalError ||= error instanceof WebAssembly.RuntimeError;
});

async function hand(context, work) {
  heal();
  try {
    const answer = work();
    // A caller who hangs up must not stop the work in the middle: the core hears of it, and ends what it began.
    context.waitUntil(answer.then(() => {}, () => {}));
    return await answer;
  } catch (error) {
    health.criticalError ||= error instanceof WebAssembly.RuntimeError;
    throw error;
  }
}

export default {
  fetch: (request, env, context) => hand(context, () => core.fetch(request, env, context)),
  scheduled: (event, env, context) => hand(context, () => core.scheduled(event, env, context)),
};
