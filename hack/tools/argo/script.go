package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
)

const scriptTime = time.Second

// judged is what a health script says of an object, run as Argo CD runs it. Its own package of scripts draws in 1,400
// packages. What it does around the engine is the part that matters here: of Lua's libraries it opens `package`, `base`,
// `table` and a part of `os`, which stays closed here, and it gives a script one second.
func judged(script string, object json.RawMessage) (verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return verdict{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptTime)
	defer cancel()
	state.SetContext(ctx)
	table, err := luajson.Decode(state, object)
	if err != nil {
		return verdict{}, err
	}
	state.SetGlobal("obj", table)
	if err := state.DoString(script); err != nil {
		return verdict{}, err
	}
	returned, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return verdict{}, fmt.Errorf("the script returned %s, not a table", state.Get(-1).Type())
	}
	text, err := luajson.Encode(returned)
	if err != nil {
		return verdict{}, err
	}
	var health verdict
	err = json.Unmarshal(text, &health)
	return health, err
}
