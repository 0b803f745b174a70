'use strict';
(() => {
  const $ = (id) => document.getElementById(id);
  const node = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const fill = (id, children) => $(id).replaceChildren(...children);
  const say = (id, text) => {
    if ($(id).textContent !== text) $(id).textContent = text;
  };

  // Numbers as people read them.
  const percent = (share) => (100 * share).toFixed(1) + ' %';
  const bytes = (n) => {
    const units = ['B', 'kB', 'MB', 'GB', 'TB'];
    let i = 0;
    for (; Math.abs(n) >= 1000 && i < 4; i++) n /= 1000;
    return n.toFixed(i > 0 && Math.abs(n) < 100 ? 1 : 0) + ' ' + units[i];
  };
  const count = (n) => n.toLocaleString('en-US', {maximumFractionDigits: 0});
  const rate = (n) => n >= 100 ? n.toFixed(0) : n.toFixed(1);
  const ms = (n) => n >= 1000 ? (n / 1000).toFixed(n >= 10000 ? 1 : 2) + ' s' : n >= 10 ? n.toFixed(0) + ' ms' : n.toFixed(1) + ' ms';
  const seconds = (s) => s === null ? '–' : ms(1000 * s);
  const age = (s) => {
    const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
    return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min` : `${Math.floor(s)} s`;
  };

  // The key lives as long as this tab.
  const kKey = 'lull-key';
  const headers = (extra) => {
    const key = sessionStorage.getItem(kKey);
    return key ? {...extra, Authorization: 'Bearer ' + key} : {...extra};
  };
  $('key-button').addEventListener('click', () => {
    $('key-form').hidden = !$('key-form').hidden;
    if (!$('key-form').hidden) $('key').focus();
  });
  $('key-form').addEventListener('submit', (event) => {
    event.preventDefault();
    sessionStorage.setItem(kKey, $('key').value);
    $('key').value = '';
    $('key-form').hidden = true;
    poll();
  });

  const themes = {auto: 'as the system', dark: 'dark', light: 'light'};
  let theme = 'auto';
  $('theme').addEventListener('click', () => {
    theme = theme === 'auto' ? 'dark' : theme === 'dark' ? 'light' : 'auto';
    if (theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    $('theme').textContent = theme[0].toUpperCase() + theme.slice(1);
    $('theme').setAttribute('aria-label', 'Colours: ' + themes[theme]);
  });

  // One line chart: rows of {values, className}; limits of {value, className}.
  const kSvg = 'http://www.w3.org/2000/svg';
  const points = 60;
  function chart(id, rows, limits, label) {
    const svg = $(id);
    const [, , width, height] = svg.getAttribute('viewBox').split(' ').map(Number);
    const all = rows.flatMap((row) => row.values).concat(limits.map((limit) => limit.value));
    const top = Math.max(...all, 1e-9) * 1.15;
    const y = (value) => (height - height * value / top).toFixed(1);
    const x = (i, n) => (width * (points - n + i) / (points - 1)).toFixed(1);
    const path = (d, className) => {
      const made = document.createElementNS(kSvg, 'path');
      made.setAttribute('d', d);
      made.setAttribute('class', className);
      return made;
    };
    const shapes = [];
    for (const {values, className} of rows) {
      if (values.length < 2) continue;
      const n = values.length;
      const d = 'M' + values.map((value, i) => x(i, n) + ' ' + y(value)).join('L');
      if (className === 'mean') shapes.push(path(`${d}V${height}H${x(0, n)}Z`, 'area'));
      shapes.push(path(d, className));
    }
    for (const {value, className} of limits)
      if (value > 0) shapes.push(path(`M0 ${y(value)}H${width}`, className));
    svg.replaceChildren(...shapes);
    svg.setAttribute('aria-label', label);
    return top;
  }

  const facts = (id, rows) => fill(id, rows.flatMap(([name, value, className]) =>
      [node('dt', name), node('dd', value, className)]));

  function showCpu(cpu, history) {
    say('cpu-now', percent(cpu.share));
    const capped = cpu.mean_budget > 0;
    say('cpu-budget', capped
        ? `Budget ${percent(cpu.mean_budget)} on average, ${percent(cpu.p99_budget)} in 99 of 100 windows of 100 ms`
            + (cpu.allowed < cpu.mean_budget - 0.0005 ? `; allowed now ${percent(cpu.allowed)}, out of courtesy` : '')
        : `No CPU budget declared (--cpu 35%); ${cpu.threads} threads on ${cpu.cpus} CPUs`);
    const limits = capped ? [{value: cpu.mean_budget, className: 'limit'}, {value: cpu.p99_budget, className: 'limit2'}] : [];
    const top = chart('cpu-line',
        [{values: history.cpu_max, className: 'peak'}, {values: history.cpu, className: 'mean'}], limits,
        `CPU over the last minute: now ${percent(cpu.share)}` + (capped ? `, budget ${percent(cpu.mean_budget)}` : ''));
    say('cpu-top', `top ${percent(top)}; solid: mean of 1 s, dotted: highest 100 ms` + (capped ? ', dashed: budget' : ''));
    const over = cpu.windows_over;
    say('cpu-breaches', !capped ? ''
        : `${count(over)} of the last ${count(cpu.windows)} watched windows of 100 ms above ${percent(cpu.p99_budget)}`
            + (cpu.windows ? ` (${(100 * over / cpu.windows).toFixed(2)} %; 1 % allowed)` : ''));
    const kept = !capped || over <= 0.01 * cpu.windows;
    $('cpu-breaches').className = kept ? '' : 'bad';
    return kept;
  }

  function showMemory(memory) {
    say('memory-now', bytes(memory.measured_bytes));
    say('memory-budget', memory.limit_bytes > 0 ? `of ${bytes(memory.limit_bytes)} declared` : 'resident, no limit declared');
    const parts = memory.parts.filter((part) => part.bytes > 0);
    const total = Math.max(parts.reduce((sum, part) => sum + part.bytes, 0), memory.limit_bytes, 1);
    const colour = (part) => 'p' + memory.parts.indexOf(part) % 7;
    fill('memory-bar', parts.map((part) => {
      const made = node('span', undefined, colour(part));
      made.style.width = 100 * part.bytes / total + '%';
      return made;
    }));
    fill('memory-parts', parts.map((part) => {
      const made = node('li');
      made.append(node('span', undefined, 'key ' + colour(part)), node('b', part.name), node('span', bytes(part.bytes)));
      return made;
    }));
    return memory.limit_bytes === 0 || memory.measured_bytes <= memory.limit_bytes;
  }

  function showLatency(latency) {
    const target = latency.target_p95_s;
    const row = (name, figures, judged) => {
      const made = node('tr');
      const title = node('th', name);
      title.scope = 'row';
      made.append(title);
      for (const q of ['p50', 'p95', 'p99']) {
        const over = judged && q === 'p95' && target > 0 && figures[q] > target;
        made.append(node('td', seconds(figures[q]) + (over ? ' over' : ''), over ? 'bad' : ''));
      }
      return made;
    };
    fill('latency', [row('first token', latency.ttft_s), row('answer', latency.e2e_s, true)]);
    say('latency-target', (target > 0 ? `Target: p95 of whole answers ≤ ${seconds(target)}. ` : 'No target declared (--p95 2.5s). ')
        + `Of the last ${count(latency.samples)} answers.`);
    return !(target > 0 && latency.e2e_s.p95 > target);
  }

  function showRates(stats) {
    const {bus, tokens, history} = stats;
    say('bus-now', bytes(bus.bytes_per_s) + '/s');
    say('bus-budget', bus.budget > 0 ? `of ${bytes(bus.budget)}/s declared` : 'weights and KV read, no limit declared');
    chart('bus-line', [{values: history.bus, className: 'mean'}], bus.budget > 0 ? [{value: bus.budget, className: 'limit'}] : [],
        `Memory bus over the last minute: now ${bytes(bus.bytes_per_s)} a second`);
    say('decode-now', rate(tokens.decode_per_s));
    say('prefill-now', rate(tokens.prefill_per_s));
    chart('tokens-line', [{values: history.prefill, className: 'peak'}, {values: history.decode, className: 'mean'}], [],
        `Tokens a second over the last minute: now ${rate(tokens.decode_per_s)} written, ${rate(tokens.prefill_per_s)} read`);
    say('tokens-total', `Since the start: ${count(tokens.new_total)} written (solid line), ${count(tokens.prompt_total)} read (dotted)`);
  }

  function showQueue(queue) {
    facts('queue', [
      ['running', count(queue.running)], ['waiting', count(queue.waiting)],
      ...(queue.oldest_wait_ms === null ? [] : [['longest wait', ms(queue.oldest_wait_ms)]]),
      ['finished', count(queue.finished)], ['cancelled', count(queue.cancelled)],
      ['refused (too busy)', count(queue.refused), queue.refused ? 'warn' : ''],
      ['refused (not understood)', count(queue.invalid)],
      ['KV pages in use', `${count(queue.kv_pages_used)} of ${count(queue.kv_pages_total)}`],
    ]);
  }

  function showHost(host) {
    const known = (value, text) => value === null ? 'not told' : text(value);
    facts('host', [
      ['machine busy', percent(host.busy)], ['by other programs', percent(host.others)],
      ['others wait for a CPU', known(host.pressure, percent)],
      ['courtesy factor', host.courtesy_factor.toFixed(2), host.courtesy_factor < 0.995 ? 'warn' : ''],
      ['courtesy now', host.courtesy_factor < 0.995 ? 'stepping back' : 'not needed'],
      ['asleep for the budget', age(host.throttled_s)],
      ['power', host.power],
    ]);
  }

  function showModels(models) {
    fill('models', models.length ? models.map((model) => {
      const made = node('li');
      made.append(node('strong', model.id), node('br'), node('small',
          `${model.type}, ${bytes(model.weight_bytes)} of weights, ${count(model.context_tokens)} tokens of context; `
          + `${model.running} running, ${model.waiting} waiting, KV ${bytes(model.kv_bytes)}`));
      return made;
    }) : [node('li', 'none')]);
  }

  function showEvidence(evidence) {
    $('evidence').hidden = !evidence;
    $('evidence-none').hidden = !!evidence;
    if (!evidence) return;
    const good = {pass: 'good', fail: 'bad'}[evidence.verdict] || 'warn';
    facts('evidence', [['verdict', evidence.verdict, good], ['record', evidence.id], ['kind', evidence.kind],
      ['taken', evidence.time], ['file', evidence.file]].filter(([, value]) => value));
  }

  function showDoctor(findings) {
    fill('doctor', findings.length ? findings.map((finding) => {
      const made = node('li');
      made.append(node('strong', finding.name + ': '), finding.message);
      if (finding.fix) made.append(node('br'), node('code', finding.fix));
      return made;
    }) : [node('li', 'Nothing found.')]);
  }

  function showRequests(requests) {
    $('requests-none').hidden = requests.length > 0;
    $('requests-table').hidden = requests.length === 0;
    const longest = Math.max(...requests.map((r) => r.total_ms), 1);
    fill('requests', requests.map((r) => {
      const made = node('tr');
      const title = node('th');
      title.scope = 'row';
      title.append(node('code', r.id));
      made.append(title);
      const cost = r.lull;
      const cached = cost.cached_tokens > 0 ? `, ${count(cost.cached_tokens)} cached` : '';
      for (const text of [`${count(r.prompt_tokens)} + ${count(r.new_tokens)}${cached}`, ms(cost.queue_ms),
        ms(cost.prefill_ms), ms(cost.decode_ms), ms(cost.throttled_ms), ms(cost.cpu_ms), r.finish_reason])
        made.append(node('td', text));
      const cell = node('td', undefined, 'bar-cell');
      const bar = node('div', undefined, 'timeline');
      for (const part of ['queue', 'prefill', 'decode']) {
        const piece = node('span', undefined, 's-' + part);
        piece.style.width = 100 * cost[part + '_ms'] / longest + '%';
        bar.append(piece);
      }
      const asleep = node('div', undefined, 'asleep s-throttled');
      asleep.style.width = Math.min(100 * cost.throttled_ms / longest, 100) + '%';
      asleep.style.marginLeft = 100 * cost.queue_ms / longest + '%';
      cell.setAttribute('aria-hidden', 'true');  // the columns say the same
      cell.append(bar, asleep);
      made.append(cell);
      return made;
    }));
  }

  function setState(text, className) {
    say('state', text);
    $('state').className = 'pill ' + className;
  }

  function show(stats) {
    say('version', stats.version);
    say('summary', `${stats.models.map((model) => model.id).join(', ')} – up ${age(stats.uptime_s)}, `
        + `${stats.cpu.threads} thread${stats.cpu.threads === 1 ? '' : 's'} on ${stats.cpu.cpus} CPUs`);
    const kept = {CPU: showCpu(stats.cpu, stats.history), memory: showMemory(stats.memory), latency: showLatency(stats.latency)};
    const over = Object.keys(kept).filter((name) => !kept[name]);
    showRates(stats);
    showQueue(stats.queue);
    showHost(stats.host);
    showModels(stats.models);
    showEvidence(stats.evidence);
    showDoctor(stats.doctor);
    showRequests(stats.requests);
    if (stats.draining) setState('shutting down', 'warn');
    else setState(over.length ? 'over budget: ' + over.join(', ') : 'within budget', over.length ? 'bad' : 'good');
  }

  // Asks only while somebody can see the answer.
  let timer = 0;
  async function poll() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const reply = await fetch('/dash/stats', {headers: headers(), cache: 'no-store'});
      if (reply.status === 401 || reply.status === 403) {
        setState('needs an API key', 'warn');
        $('key-form').hidden = false;
        return;
      }
      if (!reply.ok) throw new Error('HTTP ' + reply.status);
      show(await reply.json());
    } catch (error) {
      setState('no answer from the server', 'bad');
    }
    clearTimeout(timer);
    timer = setTimeout(poll, 1000);
  }
  document.addEventListener('visibilitychange', poll);

  // The chat box: one conversation, streamed.
  const messages = [];
  let abort = null;
  const line = (who) => {
    const made = node('p');
    const text = node('span');
    made.append(node('b', who + ' '), text);
    $('chat-log').append(made);
    return text;
  };
  const errorText = async (reply) => {
    try {
      return (await reply.json()).error.message;
    } catch (error) {
      return 'HTTP ' + reply.status;
    }
  };
  function showReceipt(receipt) {
    say('chat-receipt', receipt
        ? `queue ${ms(receipt.queue_ms)}, prompt ${ms(receipt.prefill_ms)}, answer ${ms(receipt.decode_ms)}, CPU ${ms(receipt.cpu_ms)}`
            + (receipt.throttled_ms !== undefined ? `, asleep ${ms(receipt.throttled_ms)}` : '') : '');
  }
  async function answer(target) {
    const body = {messages, stream: true, max_tokens: 512, temperature: 0};
    const reply = await fetch('/v1/chat/completions', {
      method: 'POST', signal: abort.signal, body: JSON.stringify(body),
      headers: headers({'Content-Type': 'application/json'}),
    });
    if (!reply.ok) throw new Error(await errorText(reply));
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ''; ;) {
      const {value, done} = await reader.read();
      if (done) return;
      const events = (rest + value).split('\n\n');
      rest = events.pop();
      for (const event of events) {
        if (!event.startsWith('data: {')) continue;
        const chunk = JSON.parse(event.slice(6));
        if (chunk.error) throw new Error(chunk.error.message);
        const delta = chunk.choices && chunk.choices[0] && chunk.choices[0].delta;
        if (delta && delta.content) target.textContent += delta.content;
        if (chunk.lull) showReceipt(chunk.lull);
        $('chat-log').scrollTop = $('chat-log').scrollHeight;
      }
    }
  }
  async function send() {
    if (abort) return abort.abort();
    const text = $('chat-input').value.trim();
    if (!text) return;
    $('chat-input').value = '';
    messages.push({role: 'user', content: text});
    line('You').textContent = text;
    const target = line('Lull');
    abort = new AbortController();
    $('chat-send').textContent = 'Stop';
    showReceipt(null);
    try {
      await answer(target);
    } catch (error) {
      if (error.name !== 'AbortError') target.textContent += ` [${error.message}]`;
    }
    messages.push({role: 'assistant', content: target.textContent});
    abort = null;
    $('chat-send').textContent = 'Send';
  }
  $('chat-form').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
  });
  $('chat-input').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!abort) send();
  });
  $('chat-clear').addEventListener('click', () => {
    if (abort) abort.abort();
    messages.length = 0;
    $('chat-log').replaceChildren();
    showReceipt(null);
  });

  poll();
})();
