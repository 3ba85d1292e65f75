-- The queue's transitions on Redis, each one script run: KEYS[1] is the prefix of every key, ARGV[1]
-- the transition, the rest its arguments. The answer begins with a word: ok, none, lost, unknown,
-- conflict or state. Before its first write a script can fail as a whole (out of memory, read-only);
-- after it, Redis lets it end. The names of the states, COUNTED, REPLAYABLE and FIELDS stand in a line
-- that the adapter puts before this text, from the lists in Python.
--
--   job:ID            hash: the job and what its adapter needs      result:ID   what it came to
--   stream:KIND       the due jobs; group `workers`: holders        keys        idempotency keys
--   later:KIND        queued, not in the stream yet, by due time    due:KIND    all queued, by due time
--   lease:KIND        running, by the end of their lease            ends        ended, by expiry
--   list:KIND:STATE:OWNER, with STATE and OWNER also empty: jobs by age
--   kinds             every kind there was                          seq         how many jobs there were
--   schema            which form all this has; 1 when it is absent
--   aside:KEY         what lay at KEY and cannot be read, for a week; aside:entries: such stream entries
--
-- All keys but the jobs', the results' and `keys` follow from the jobs. A transition that meets what this
-- script does not write so fails; then `mend` sets aside what cannot be read and writes what follows from
-- the jobs anew, and the transition runs again. The answer then begins with the word aside and a list of
-- what that was, before the answer itself.
local P, G = KEYS[1] .. ':', 'workers'
local call = redis.call
local clock = call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local function text(seconds) return string.format('%.6f', seconds) end  -- %.14g would round

local function field(id, name) return call('HGET', P .. 'job:' .. id, name) end

local function show(id)
  local answer = call('HMGET', P .. 'job:' .. id, unpack(FIELDS))
  table.insert(answer, 1, 'ok')
  return answer
end

local function change(id, ...)
  call('HSET', P .. 'job:' .. id, 'changed_s', text(now), ...)
  call('HINCRBY', P .. 'job:' .. id, 'version', 1)
end

local function lists(kind, state, owner)
  local key = P .. 'list:' .. kind .. ':' .. state .. ':'
  return {key, key .. 'o' .. owner}
end

local function enlist(id, state)
  local job = call('HMGET', P .. 'job:' .. id, 'kind', 'owner', 'seq')
  for _, key in ipairs(lists(job[1], state, job[2])) do call('ZADD', key, job[3], id) end
end

local function delist(id, state)
  local job = call('HMGET', P .. 'job:' .. id, 'kind', 'owner')
  for _, key in ipairs(lists(job[1], state, job[2])) do call('ZREM', key, id) end
end

local function enter(id, state)
  delist(id, field(id, 'state'))
  enlist(id, state)
  change(id, 'state', state)
end

-- a list holds this id because its job is in this state
local function sure(id, state)
  if field(id, 'state') ~= state then error('damaged: ' .. id .. ' is not ' .. state) end
end

local function promote(kind)
  local stream, later = P .. 'stream:' .. kind, P .. 'later:' .. kind
  if call('EXISTS', stream) == 0 then  -- the first one; if it got lost, all that waits needs an entry
    call('XGROUP', 'CREATE', stream, G, '0', 'MKSTREAM')
    call('ZUNIONSTORE', later, 2, later, P .. 'due:' .. kind, 'AGGREGATE', 'MIN')
  end
  local due = call('ZRANGEBYSCORE', later, '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, 1000)
  for i = 1, #due, 2 do
    sure(due[i], QUEUED)
    local entry = call('XADD', stream, '*', 'id', due[i], 'due_s', due[i + 1])
    call('HSET', P .. 'job:' .. due[i], 'entry', entry)
    call('ZREM', later, due[i])
  end
end

local function enqueue(id, due_s)
  local kind = field(id, 'kind')
  call('HSET', P .. 'job:' .. id, 'due_s', text(due_s), 'entry', '')
  call('ZADD', P .. 'due:' .. kind, text(due_s), id)
  call('ZADD', P .. 'later:' .. kind, text(due_s), id)
  promote(kind)
end

local function insert(new)
  local key = P .. 'job:' .. new.id
  if call('EXISTS', key) == 1 then return end
  call('HSET', key, 'id', new.id, 'kind', new.kind, 'payload', new.payload, 'owner', new.owner,
    'state', QUEUED, 'attempt', 0, 'attempts_max', new.attempts_max, 'created_s', text(now),
    'changed_s', text(now), 'expires_s', 0, 'done', 0, 'total', '', 'cancelling', 0, 'trouble', '',
    'version', 1, 'seq', call('INCR', P .. 'seq'), 'attempts_first', new.attempts_max,
    'ttl_s', new.ttl_s, 'heir_kind', new.heir_kind, 'idempotency_key', new.idempotency_key,
    'request_sha256', new.request_sha256, 'worker', '', 'entry', '', 'due_s', text(now))
  call('SADD', P .. 'kinds', new.kind)
  enlist(new.id, '')
  enlist(new.id, QUEUED)
  enqueue(new.id, now + tonumber(new.delay_s))
end

local function newcomer(i)
  return {id = ARGV[i], kind = ARGV[i + 1], payload = ARGV[i + 2], owner = ARGV[i + 3],
    idempotency_key = ARGV[i + 4], request_sha256 = ARGV[i + 5], delay_s = ARGV[i + 6],
    attempts_max = ARGV[i + 7], ttl_s = ARGV[i + 8], heir_kind = ARGV[i + 9]}
end

local function follow(i)
  for j = i, #ARGV, 10 do insert(newcomer(j)) end
end

local function unqueue(id)
  local job = call('HMGET', P .. 'job:' .. id, 'kind', 'entry')
  call('ZREM', P .. 'due:' .. job[1], id)
  call('ZREM', P .. 'later:' .. job[1], id)
  if job[2] ~= '' then call('XDEL', P .. 'stream:' .. job[1], job[2]) end
end

local function unlease(id)
  local job = call('HMGET', P .. 'job:' .. id, 'kind', 'entry')
  call('ZREM', P .. 'lease:' .. job[1], id)
  call('XACK', P .. 'stream:' .. job[1], G, job[2])
  call('XDEL', P .. 'stream:' .. job[1], job[2])
end

local function finish(id, state, trouble)
  local expires_s = text(now + tonumber(field(id, 'ttl_s')))
  call('ZADD', P .. 'ends', expires_s, id)
  enter(id, state)
  call('HSET', P .. 'job:' .. id, 'expires_s', expires_s, 'trouble', trouble, 'cancelling', 0)
end

local function bequeath(id)
  local job = call('HMGET', P .. 'job:' .. id, 'heir_kind', 'attempt', 'owner', 'ttl_s')
  if job[1] == '' then return end
  insert({id = id .. '-' .. job[2], kind = job[1], payload = id, owner = job[3], ttl_s = job[4],
    idempotency_key = '', request_sha256 = '', delay_s = 0, attempts_max = 3, heir_kind = ''})
end

local function orphan(id, trouble)
  unlease(id)
  finish(id, CANCELLED, trouble)
  bequeath(id)
end

local function held(id, attempt)
  local job = call('HMGET', P .. 'job:' .. id, 'state', 'attempt')
  return job[1] == RUNNING and job[2] == attempt
end

-- whether the job, whose lease ran out, may not be worked on again
local function buried(id, exhausted)
  local job = call('HMGET', P .. 'job:' .. id, 'cancelling', 'attempt', 'attempts_max')
  if job[1] == '1' then
    orphan(id, '')
  elseif tonumber(job[2]) >= tonumber(job[3]) then
    unlease(id)
    finish(id, FAILED, exhausted)
    bequeath(id)
  else
    return false
  end
  return true
end

-- the oldest of a kind that may be claimed: its due time, id, and whether its lease ran out
local function ready(kind)
  local stream = P .. 'stream:' .. kind
  if call('EXISTS', stream) == 0 then
    if call('EXISTS', P .. 'due:' .. kind, P .. 'lease:' .. kind) > 0 then error('damaged: no stream') end
    return nil
  end
  promote(kind)
  local due_s, oldest = nil, nil
  local overdue = call('ZRANGEBYSCORE', P .. 'lease:' .. kind, '-inf', text(now), 'LIMIT', 0, 100)
  for _, id in ipairs(overdue) do
    sure(id, RUNNING)
    local at_s = tonumber(field(id, 'due_s'))
    if not due_s or at_s < due_s then due_s, oldest = at_s, id end
  end
  if oldest then return due_s, oldest, true end  -- what waits became due after it
  local group, last = call('XINFO', 'GROUPS', stream)[1], '0-0'
  for i = 1, #group, 2 do
    if group[i] == 'last-delivered-id' then last = group[i + 1] end
  end
  local entry = call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
  if not entry then return nil end
  local id, due_s = entry[2][2], tonumber(entry[2][4])
  if not due_s or field(id, 'entry') ~= entry[1] then error('damaged: entry ' .. entry[1]) end
  sure(id, QUEUED)
  return due_s, id, false
end

local function oldest(first)
  local found = {}
  for i = first, #ARGV do
    local due_s, id, overdue = ready(ARGV[i])
    if due_s and (not found.due_s or due_s < found.due_s) then
      found = {due_s = due_s, id = id, overdue = overdue, kind = ARGV[i]}
    end
  end
  return found
end

local function forget(id)
  local job = call('HMGET', P .. 'job:' .. id, 'state', 'owner', 'idempotency_key')
  local key = #job[2] .. ':' .. job[2] .. ':' .. job[3]
  if job[3] ~= '' and call('HGET', P .. 'keys', key) == id then call('HDEL', P .. 'keys', key) end
  delist(id, '')
  delist(id, job[1])
  call('ZREM', P .. 'ends', id)
  call('DEL', P .. 'job:' .. id, P .. 'result:' .. id)
end

local run = {}

function run.put()
  local new = newcomer(2)
  local name = #new.owner .. ':' .. new.owner .. ':' .. new.idempotency_key
  if new.idempotency_key ~= '' then
    local seen = call('HGET', P .. 'keys', name)
    if seen and call('EXISTS', P .. 'job:' .. seen) == 1 then
      if field(seen, 'request_sha256') ~= new.request_sha256 then return {'conflict'} end
      return show(seen)
    end
    if call('EXISTS', P .. 'job:' .. new.id) == 0 then call('HSET', P .. 'keys', name, new.id) end
  end
  insert(new)
  return show(new.id)
end

function run.claim()
  local worker, lease_s, exhausted = ARGV[2], tonumber(ARGV[3]), ARGV[4]
  local found = oldest(5)
  while found.id and found.overdue and buried(found.id, exhausted) do found = oldest(5) end
  if not found.id then return {'none'} end
  local id, stream = found.id, P .. 'stream:' .. found.kind
  if found.overdue then
    call('XCLAIM', stream, G, worker, 0, field(id, 'entry'))
  else
    call('XREADGROUP', 'GROUP', G, worker, 'COUNT', 1, 'STREAMS', stream, '>')
    call('ZREM', P .. 'due:' .. found.kind, id)
    enter(id, RUNNING)
  end
  call('HINCRBY', P .. 'job:' .. id, 'attempt', 1)
  if found.overdue then change(id) end
  call('HSET', P .. 'job:' .. id, 'worker', worker, 'done', 0, 'total', '')
  call('ZADD', P .. 'lease:' .. found.kind, text(now + lease_s), id)
  return show(id)
end

function run.renew()
  local id, lease_s = ARGV[2], tonumber(ARGV[4])
  if not held(id, ARGV[3]) then return {'lost'} end
  local job = call('HMGET', P .. 'job:' .. id, 'kind', 'entry', 'worker', 'cancelling')
  call('ZADD', P .. 'lease:' .. job[1], text(now + lease_s), id)
  call('XCLAIM', P .. 'stream:' .. job[1], G, job[3], 0, job[2], 'JUSTID')
  if ARGV[5] then change(id, 'done', ARGV[5], 'total', ARGV[6]) end
  return {'ok', job[4]}
end

function run.finish()
  local id = ARGV[2]
  if not held(id, ARGV[3]) then return {'lost'} end
  call('SET', P .. 'result:' .. id, ARGV[4])
  unlease(id)
  finish(id, DONE, '')
  follow(5)
  return show(id)
end

function run.fail()
  local id, trouble, retry_in_s = ARGV[2], ARGV[4], tonumber(ARGV[5])
  if not held(id, ARGV[3]) then return {'lost'} end
  local job = call('HMGET', P .. 'job:' .. id, 'attempt', 'attempts_max', 'cancelling')
  if not retry_in_s or tonumber(job[1]) >= tonumber(job[2]) then
    unlease(id)
    finish(id, FAILED, trouble)
    follow(6)
  elseif job[3] == '1' then
    orphan(id, trouble)
  else
    unlease(id)
    enter(id, QUEUED)
    call('HSET', P .. 'job:' .. id, 'trouble', trouble)
    enqueue(id, now + retry_in_s)
  end
  return show(id)
end

function run.stop()
  local id = ARGV[2]
  if not held(id, ARGV[3]) then return {'lost'} end
  unlease(id)
  finish(id, CANCELLED, '')
  follow(4)
  return show(id)
end

function run.release()
  local id = ARGV[2]
  if not held(id, ARGV[3]) then return {'lost'} end
  if field(id, 'cancelling') == '1' then
    orphan(id, '')
  else
    unlease(id)
    enter(id, QUEUED)
    call('HINCRBY', P .. 'job:' .. id, 'attempts_max', 1)
    enqueue(id, now + tonumber(ARGV[4]))
  end
  return show(id)
end

function run.cancel()
  local id = ARGV[2]
  local job = call('HMGET', P .. 'job:' .. id, 'state', 'cancelling')
  if not job[1] then return {'unknown'} end
  if job[1] == QUEUED then
    unqueue(id)
    finish(id, CANCELLED, '')
    follow(3)
  elseif job[1] == RUNNING and job[2] == '0' then
    change(id, 'cancelling', 1)
  end
  return show(id)
end

function run.replay()
  local id = ARGV[2]
  local job = call('HMGET', P .. 'job:' .. id, 'state', 'attempt', 'attempts_first')
  if not job[1] then return {'unknown'} end
  if not REPLAYABLE[job[1]] then
    local answer = show(id)
    answer[1] = 'state'
    return answer
  end
  call('ZREM', P .. 'ends', id)
  enter(id, QUEUED)
  call('HSET', P .. 'job:' .. id, 'attempts_max', job[2] + job[3], 'expires_s', 0)
  enqueue(id, now)
  return show(id)
end

function run.get()
  if call('EXISTS', P .. 'job:' .. ARGV[2]) == 0 then return {'unknown'} end
  return show(ARGV[2])
end

function run.page()
  local kind, state, owner, before, limit = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
  local newest = '+inf'
  if before ~= '' then
    local last = call('HMGET', P .. 'job:' .. before, 'seq', 'kind', 'owner')
    local seen = owner == '' or owner == 'o' .. tostring(last[3])
    if not last[1] or last[2] ~= kind or not seen then return {'unknown'} end
    newest = '(' .. last[1]
  end
  local key = P .. 'list:' .. kind .. ':' .. state .. ':' .. owner
  local answer = {'ok'}
  for _, id in ipairs(call('ZREVRANGEBYSCORE', key, newest, '-inf', 'LIMIT', 0, limit)) do
    table.insert(answer, show(id))
  end
  return answer
end

function run.ahead()
  local kind = field(ARGV[2], 'kind')
  return {'ok', kind and call('ZRANK', P .. 'due:' .. kind, ARGV[2]) or 0}
end

function run.depth()
  local answer = {'ok'}
  for _, state in ipairs(COUNTED) do
    table.insert(answer, call('ZCARD', P .. 'list:' .. ARGV[2] .. ':' .. state .. ':'))
  end
  return answer
end

-- seconds until one of the kinds may be due, and the newest entry of each of their streams
function run.soonest()
  local soonest, answer = nil, {'ok', ''}
  for i = 2, #ARGV do
    for name, state in pairs({due = QUEUED, lease = RUNNING}) do
      local first = call('ZRANGE', P .. name .. ':' .. ARGV[i], 0, 0, 'WITHSCORES')
      if first[1] then sure(first[1], state) end
      local at_s = first[2] and tonumber(first[2])
      if at_s and (not soonest or at_s < soonest) then soonest = at_s end
    end
    local last, stream = '0-0', P .. 'stream:' .. ARGV[i]
    local about = call('EXISTS', stream) == 1 and call('XINFO', 'STREAM', stream) or {}
    for j = 1, #about, 2 do
      if about[j] == 'last-generated-id' then last = about[j + 1] end
    end
    table.insert(answer, last)
  end
  if soonest then answer[2] = text(soonest - now) end
  return answer
end

function run.sweep()
  local answer = {'ok'}
  local over = call('ZRANGEBYSCORE', P .. 'ends', '-inf', text(now), 'LIMIT', 0, ARGV[2])
  for _, id in ipairs(over) do
    table.insert(answer, show(id))
    forget(id)
  end
  return answer
end

function run.forget()
  local id = ARGV[2]
  if call('EXISTS', P .. 'job:' .. id) == 0 then return {'unknown'} end
  local answer, state = show(id), field(id, 'state')
  if state == QUEUED then unqueue(id) end
  if state == RUNNING then unlease(id) end
  forget(id)
  return answer
end

-- workers that hold nothing and were not seen for ARGV[2] seconds leave their groups
function run.tidy()
  for _, kind in ipairs(call('SMEMBERS', P .. 'kinds')) do
    local stream = P .. 'stream:' .. kind
    local there = call('EXISTS', stream) == 1
    for _, about in ipairs(there and call('XINFO', 'CONSUMERS', stream, G) or {}) do
      local is = {}
      for i = 1, #about, 2 do is[about[i]] = about[i + 1] end
      if is.pending == 0 and is.idle > ARGV[2] * 1000 then
        call('XGROUP', 'DELCONSUMER', stream, G, is.name)
      end
    end
  end
  return {'ok'}
end

function run.ping()
  call('SET', P .. 'ping', '1', 'EX', 60)
  return {'ok'}
end

local TYPES = {stream = 'stream', later = 'zset', due = 'zset', lease = 'zset', list = 'zset',
  ends = 'zset', kinds = 'set', keys = 'hash', seq = 'string', schema = 'string', result = 'string',
  job = 'hash'}
local WHOLE = {'attempt', 'attempts_max', 'attempts_first', 'seq', 'version'}
local NUMBERS = {'created_s', 'changed_s', 'due_s', 'expires_s', 'done', 'ttl_s'}
local TEXTS = {'owner', 'entry', 'worker', 'heir_kind', 'idempotency_key', 'request_sha256', 'trouble'}
local ASIDE_S, GRACE_S = 7 * 86400, 30
local ASIDE = {}

local function number(value)
  return value and #value < 40 and string.match(value, '^%-?%d[%d.]*[eE]?[-+]?%d*$') and tonumber(value)
end

local function whole(value) return value and #value < 16 and string.match(value, '^%d+$') end

-- whether the job of this id is as this script writes jobs
local function sound(id)
  local names, has = {'id', 'kind', 'state', 'cancelling', 'total', 'payload'}, {}
  for _, more in ipairs({WHOLE, NUMBERS, TEXTS}) do
    for _, name in ipairs(more) do table.insert(names, name) end
  end
  for i, value in ipairs(call('HMGET', P .. 'job:' .. id, unpack(names))) do has[names[i]] = value end
  for _, name in ipairs(WHOLE) do if not whole(has[name]) then return false end end
  for _, name in ipairs(NUMBERS) do if not number(has[name]) then return false end end
  for _, name in ipairs(TEXTS) do if not has[name] then return false end end
  return has.id == id and has.kind and has.payload and STATES[has.state]
    and (has.cancelling == '0' or has.cancelling == '1') and (has.total == '' or number(has.total))
end

local function aside(name)
  call('RENAME', P .. name, P .. 'aside:' .. name)
  call('EXPIRE', P .. 'aside:' .. name, ASIDE_S)
  table.insert(ASIDE, name)
end

-- call `each` with every key, less the prefix, and the parts before and after its first colon
local function scan(each)
  local like, cursor = string.gsub(P, '[*?%[%]\\^]', '\\%0') .. '*', '0'
  repeat
    local found = call('SCAN', cursor, 'MATCH', like, 'COUNT', 1000)
    cursor = found[1]
    for _, key in ipairs(found[2]) do
      local name = string.sub(key, #P + 1)
      each(name, string.match(name, '^([^:]*):?(.*)$'))
    end
  until cursor == '0'
end

-- entries that nothing of ours wrote are set aside, those of jobs that do not wait are removed
local function mend_stream(kind)
  local stream = P .. 'stream:' .. kind
  for _, entry in ipairs(call('XRANGE', stream, '-', '+')) do
    local about = entry[2]
    if #about ~= 4 or about[1] ~= 'id' or about[3] ~= 'due_s' or not number(about[4]) then
      call('XADD', P .. 'aside:entries', 'MAXLEN', '~', 1000, '*', 'kind', kind, unpack(about))
      call('EXPIRE', P .. 'aside:entries', ASIDE_S)
      table.insert(ASIDE, 'stream:' .. kind .. ' ' .. entry[1])
    end
    local job = call('HMGET', P .. 'job:' .. tostring(about[2]), 'entry', 'state')
    if job[1] ~= entry[1] or job[2] ~= RUNNING then call('XDEL', stream, entry[1]) end
  end
  for _, group in ipairs(call('XINFO', 'GROUPS', stream)) do
    for i = 1, #group, 2 do if group[i] == 'name' and group[i + 1] == G then return end end
  end
  call('XGROUP', 'CREATE', stream, G, '$')
end

local function relive(id)
  local key = P .. 'job:' .. id
  local job = call('HMGET', key, 'kind', 'state', 'due_s', 'expires_s', 'owner', 'idempotency_key')
  local kind, state, due_s = job[1], job[2], job[3]
  call('SADD', P .. 'kinds', kind)
  enlist(id, '')
  enlist(id, state)
  if state == QUEUED then
    call('HSET', key, 'entry', '')
    call('ZADD', P .. 'due:' .. kind, due_s, id)
    call('ZADD', P .. 'later:' .. kind, due_s, id)
  elseif state == RUNNING then
    call('ZADD', P .. 'lease:' .. kind, 'NX', text(now + GRACE_S), id)  -- its worker renews it
  else
    call('ZADD', P .. 'ends', job[4], id)
  end
  if job[6] ~= '' then call('HSETNX', P .. 'keys', #job[5] .. ':' .. job[5] .. ':' .. job[6], id) end
end

function run.mend()
  local ids, streams, leases, newest = {}, {}, {}, 0
  scan(function(name, first, rest)
    local found, whole_number = call('TYPE', P .. name).ok, first == 'seq' or first == 'schema'
    if found == 'none' or not TYPES[first] then return end
    if found ~= TYPES[first] or (whole_number and not whole(call('GET', P .. name))) then
      aside(name)
    elseif first == 'job' then
      if sound(rest) then ids[rest] = true else aside(name) end
    elseif first == 'stream' then
      table.insert(streams, rest)
    elseif first == 'lease' then
      table.insert(leases, rest)
    end
  end)
  scan(function(name, first, rest)
    if first == 'result' and not ids[rest] then aside(name) end
    if first == 'list' or first == 'due' or first == 'later' or first == 'ends' or first == 'kinds' then
      call('DEL', P .. name)
    end
  end)
  for _, kind in ipairs(leases) do
    for _, id in ipairs(call('ZRANGE', P .. 'lease:' .. kind, 0, -1)) do
      if not ids[id] or field(id, 'state') ~= RUNNING then call('ZREM', P .. 'lease:' .. kind, id) end
    end
  end
  for _, kind in ipairs(streams) do mend_stream(kind) end
  for id in pairs(ids) do
    relive(id)
    newest = math.max(newest, tonumber(field(id, 'seq')))
  end
  if newest > 0 and call('EXISTS', P .. 'seq') == 0 then call('SET', P .. 'seq', newest) end
  for _, kind in ipairs(call('SMEMBERS', P .. 'kinds')) do promote(kind) end
  return {'ok'}
end

-- words of the errors that damaged data lead to; those of a server that is full or read-only are others
local DAMAGE = {'damaged: ', 'WRONGTYPE', 'NOGROUP', 'not an integer', 'not a valid float', 'no such key',
  'Invalid stream ID', 'attempt to ', 'bad argument', 'not a float'}

local function is_damage(words)
  for _, word in ipairs(DAMAGE) do if string.find(words, word, 1, true) then return true end end
  return false
end

local function transition()
  local done, answer = pcall(run[ARGV[1]])
  if done then return answer end
  local words = type(answer) == 'table' and answer.err or tostring(answer)  -- by Redis's version
  if not is_damage(words) then return redis.error_reply(words) end
  run.mend()
  return run[ARGV[1]]()
end

local SCHEMA = 1  -- of these keys; a program that changes them writes its number into `schema`
local read, schema = pcall(call, 'GET', P .. 'schema')
if not read or (schema and not whole(schema)) then
  run.mend()
  schema = false
end
if schema and tonumber(schema) > SCHEMA then return {'newer', schema, SCHEMA} end
local answer = transition()
if #ASIDE > 0 then return {'aside', ASIDE, answer} end
return answer
