// An app that handles no signal.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	var behaviour struct{ Version string }
	data, err := os.ReadFile("behaviour.json")
	if err != nil {
		panic(err)
	}
	if err := json.Unmarshal(data, &behaviour); err != nil {
		panic(err)
	}
	http.HandleFunc("/", func(reply http.ResponseWriter, request *http.Request) {
		io.Copy(io.Discard, request.Body)
		if request.URL.Path == "/slow" {
			time.Sleep(200 * time.Millisecond)
		}
		io.WriteString(reply, behaviour.Version)
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
