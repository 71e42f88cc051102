// SPDX-License-Identifier: Apache-2.0

package coder

// Operations, as used in Error.Op and Call.Operation.
const (
	OpBuildInfo        = "build_info"
	OpScopes           = "scopes"
	OpMe               = "me"
	OpUser             = "user"
	OpSuspendedUsers   = "suspended_users"
	OpMintToken        = "mint_token"
	OpToken            = "token"
	OpTokenByName      = "token_by_name"
	OpTokens           = "tokens"
	OpMaxTokenLifetime = "max_token_lifetime"
	OpDeleteToken      = "delete_token"
	// OpTokenID is not a request: it parses a token.
	OpTokenID = "token_id"
)
