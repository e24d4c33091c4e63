// Argo says and does to Kubernetes objects what Argo CD would, by the parts that it is made of.
//
//	argo verdicts   reads a JSON list of {"script": LUA, "object": OBJECT} and writes a list of {"health", "kstatus"} in
//	                that order: Argo CD's health, by the script in the Lua engine that it runs it in, and kstatus's status
//	argo sync       reads an application (see application) and writes what became of it: the outcome of one sync, where
//	                one was asked for, and of every object whether it is in sync and how healthy it is
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	commands := map[string]func(io.Reader) (any, error){"verdicts": verdicts, "sync": synced}
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: argo verdicts|sync"))
	}
	said, err := commands[os.Args[1]](os.Stdin)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "argo:", err)
	os.Exit(1)
}
