// Package api is the director's door to other programs: JSON over HTTP on a Unix socket, for the commands and for
// whoever writes their own, and metrics for Prometheus. openapi.json describes it.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"drover/internal/director"
)

// A Server answers for one director.
type Server struct {
	Director *director.Director
	Version  string // of the program
}

// A route is one request that is answered.
type route struct {
	pattern string // method and path, as http.ServeMux takes them
	change  bool   // only for those who may change something
	handle  func(s *Server, w http.ResponseWriter, r *http.Request) error
}

var routes = []route{
	{"GET /v1/status", false, (*Server).getStatus},
	{"GET /v1/events", false, (*Server).getEvents},
	{"PUT /v1/override", true, (*Server).putOverride},
	{"POST /v1/reload", true, (*Server).postReload},
	{"GET /metrics", false, (*Server).getMetrics},
}

// Handler answers every route. It goes by the peer that Listen has found out.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, request *http.Request) {
			if err := s.serve(r, w, request); err != nil {
				fail(w, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &Error{http.StatusNotFound, fmt.Sprintf("%s %s: there is no such request", r.Method, r.URL.Path)})
	})
	return mux
}

func (s *Server) serve(r route, w http.ResponseWriter, request *http.Request) error {
	if r.change && !peerOf(request.Context()).mayChange() {
		return &Error{http.StatusForbidden, "only root and the director's own user may change something"}
	}
	return r.handle(s, w, request)
}

// An Error is an answer that is not what was asked for.
type Error struct {
	Status  int    `json:"-"` // of HTTP
	Message string `json:"error"`
}

func (e *Error) Error() string { return e.Message }

func fail(w http.ResponseWriter, err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, director.ErrNoServer):
		e = &Error{http.StatusNotFound, err.Error()}
	case errors.Is(err, director.ErrEnded):
		e = &Error{http.StatusServiceUnavailable, err.Error()}
	default:
		e = &Error{http.StatusInternalServerError, err.Error()}
	}
	answer(w, e.Status, e)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone misses nothing
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) error {
	snapshot, err := s.Director.Snapshot(r.Context())
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, snapshot)
	return nil
}

// longestWait is how long a request for events that have not happened is kept open.
const longestWait = 30 * time.Second

func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	after, err := number(r.FormValue("after"))
	if err != nil {
		return &Error{http.StatusBadRequest, "after: want the seq of an event"}
	}
	wait := r.FormValue("wait") == "true"
	if wait {
		ctx, cancel := context.WithTimeout(r.Context(), longestWait)
		defer cancel()
		r = r.WithContext(ctx)
	}
	events, err := s.Director.Events(r.Context(), after, wait)
	if err != nil {
		return err
	}
	if events == nil {
		events = []director.Event{}
	}
	answer(w, http.StatusOK, events)
	return nil
}

func number(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// OverrideRequest sets or clears overrides. What is null stays as it is.
type OverrideRequest struct {
	director.ServerQuery
	Disabled *bool     `json:"disabled,omitempty"`
	Weight   *int32    `json:"weight,omitempty"`
	Clear    bool      `json:"clear,omitempty"` // of all that was said before
	Reason   string    `json:"reason,omitempty"`
	Until    time.Time `json:"until,omitzero"`
}

func (s *Server) putOverride(w http.ResponseWriter, r *http.Request) error {
	var o OverrideRequest
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&o); err != nil {
		return &Error{http.StatusBadRequest, "the body is not an override: " + err.Error()}
	}
	if o.RealServer == "" {
		return &Error{http.StatusBadRequest, "real_server is empty"}
	}
	if o.Weight != nil && (*o.Weight < 0 || *o.Weight > 65535) {
		return &Error{http.StatusBadRequest, fmt.Sprintf("weight %d: want 0 to 65535", *o.Weight)}
	}
	by := peerOf(r.Context()).name()
	servers, err := s.Director.Set(r.Context(), o.ServerQuery, func(was director.Override) director.Override {
		if o.Clear {
			was = director.Override{}
		}
		if o.Disabled != nil {
			was.Disabled = *o.Disabled
		}
		if o.Weight != nil {
			was.Weight = o.Weight
		}
		was.Reason, was.By, was.Until = o.Reason, by, o.Until
		return was
	})
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, servers)
	return nil
}

func (s *Server) postReload(w http.ResponseWriter, r *http.Request) error {
	if err := s.Director.Reload(r.Context()); err != nil {
		return &Error{http.StatusUnprocessableEntity, err.Error()}
	}
	answer(w, http.StatusOK, struct{}{})
	return nil
}
