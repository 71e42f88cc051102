// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Bounds of one connection. What is sent is a short GET; the answer may take as long as all that ServeHTTP finishes.
const (
	readTimeout    = 10 * time.Second
	writeTimeout   = readTimeout + exchanging + storing + discarding + 10*time.Second
	idleTimeout    = time.Minute
	maxHeaderBytes = 32 << 10
)

// NewServer returns a server for h, to be added to a manager: it serves on every replica, leader or not (B72), and a stopping
// one finishes the requests that it has. Its Start fails if the address (host:port) cannot be listened on. What net/http
// itself has to say goes to logger.
func NewServer(address string, h *Handler, logger logr.Logger) *manager.Server {
	return &manager.Server{
		Name: "oauth-callback",
		Server: &http.Server{
			Addr: address, Handler: h, MaxHeaderBytes: maxHeaderBytes,
			ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
			ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(logger.V(1)), slog.LevelInfo),
		},
		ShutdownTimeout: ptr.To(exchanging + storing + discarding),
	}
}
