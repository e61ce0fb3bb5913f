// Real agents against the server, unmodified: node run.js [AGENT [DIALECT | random]]. See README.md.
import { claudeCode } from './claude_code.js';
import { codex } from './codex.js';
import { runRandom, runScripted } from './harness.js';
import { opencode } from './opencode.js';
import { ensureAgents } from './packages.js';

const [agentName, modelName] = process.argv.slice(2);
const bin = ensureAgents();
const agents = [claudeCode, codex, opencode].map((make) => make(bin)).filter(({ name }) => !agentName || name === agentName);
if (agents.length === 0) throw new Error(`no agent ${agentName}: claude_code, codex or opencode`);
let passed = 0;
let failed = 0;
for (const agent of agents) {
  for (const model of [...agent.dialects, 'random'].filter((each) => !modelName || each === modelName)) {
    console.log(`${agent.name} with a model ${model === 'random' ? 'of random weights' : `that speaks ${model}`}`);
    try {
      await (model === 'random' ? runRandom(agent) : runScripted(agent, model));
      passed += 1;
    } catch (error) {
      failed += 1;
      console.error(error);
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
