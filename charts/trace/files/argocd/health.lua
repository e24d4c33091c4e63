-- Health of a DAG, Job, Asset or Bundle (trace.dev/v1alpha1) for Argo CD, whose four kinds share this script.
-- The controller says which condition matters: Stalled and Reconciling are there only while they hold.
-- Argo CD runs it without Lua's string and math libraries.

local status = obj.status or {}
local found = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" or condition.type == "Ready" then
    found[condition.type] = condition
  end
end

local function health(verdict, condition, otherwise)
  local message = condition and condition.message
  if message == nil or message == "" then
    message = otherwise
  end
  return { status = verdict, message = message }
end

local ready = found.Ready
if obj.metadata.deletionTimestamp ~= nil then
  if ready and ready.reason == "Draining" then
    return health("Progressing", ready, "it drains")
  end
  return health("Progressing", nil, "it is being deleted")
end
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", nil, "its newest generation is not brought about yet")
end
if found.Stalled then
  return health("Degraded", found.Stalled, found.Stalled.reason)
end
if found.Reconciling then
  return health("Progressing", found.Reconciling, found.Reconciling.reason)
end
if ready and ready.reason == "Paused" then
  return health("Suspended", ready, "it is paused")
end
return health("Healthy", ready, "it is as applied")
