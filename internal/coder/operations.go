// SPDX-License-Identifier: Apache-2.0

package coder

// Operations, as they stand in Error.Op and Call.Operation.
const (
	OpBuildInfo        = "build_info"
	OpMe               = "me"
	OpUser             = "user"
	OpSuspendedUsers   = "suspended_users"
	OpMintToken        = "mint_token"
	OpToken            = "token"
	OpTokenByName      = "token_by_name"
	OpTokens           = "tokens"
	OpMaxTokenLifetime = "max_token_lifetime"
	OpDeleteToken      = "delete_token"
	// OpTokenID is no request: it takes a token apart.
	OpTokenID = "token_id"
)
