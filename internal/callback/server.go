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

// Limits of one connection. Requests are short GETs; the answer may take as long as all steps of
// ServeHTTP.
const (
	readTimeout    = 10 * time.Second
	writeTimeout   = readTimeout + exchangeTimeout + storeTimeout + revokeTimeout + 10*time.Second
	idleTimeout    = time.Minute
	maxHeaderBytes = 32 << 10
)

// NewServer returns a server for h, to be added to a manager. It serves on every replica, leader or
// not (B72), and finishes its current requests when it is stopped. Its Start fails if it cannot
// listen on the address (host:port). The errors of net/http are logged to logger.
func NewServer(address string, h *Handler, logger logr.Logger) *manager.Server {
	return &manager.Server{
		Name: "oauth-callback",
		Server: &http.Server{
			Addr: address, Handler: h, MaxHeaderBytes: maxHeaderBytes,
			ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
			IdleTimeout: idleTimeout,
			ErrorLog:    slog.NewLogLogger(logr.ToSlogHandler(logger.V(1)), slog.LevelInfo),
		},
		ShutdownTimeout: ptr.To(exchangeTimeout + storeTimeout + revokeTimeout),
	}
}
