package v1alpha1

// ObjectName is the name of a Secret, ConfigMap or other object.
//
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="write the object's name: lower-case letters, digits, '-' and '.'"
type ObjectName string

// DataKey is a key in the data of a Secret or ConfigMap.
//
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="write a key of the object's data: letters, digits, '-', '_' and '.'"
type DataKey string

// Duration is a length of time in Go's notation, such as "500ms", "5m" or
// "24h". Its zero value, the empty string, is never stored.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s')",message="write a positive duration such as \"500ms\", \"5m\" or \"24h\" (days are not a unit: write 168h for 7 days)"
type Duration string

// SecretKeyRef names one value of a Secret in the object's own namespace.
type SecretKeyRef struct {
	// Name of the Secret.
	Name ObjectName `json:"name"`
	// Key of the value in the Secret's data.
	Key DataKey `json:"key"`
}

// TokenSecretRef names the value of a Secret that holds a Coder token.
type TokenSecretRef struct {
	// Name of the Secret, in the object's own namespace.
	Name ObjectName `json:"name"`
	// Key of the token in the Secret's data. White space around the value is
	// ignored.
	// +kubebuilder:default=token
	// +optional
	Key DataKey `json:"key,omitempty"`
}

// DataKey is the key of the token in the Secret's data.
func (r TokenSecretRef) DataKey() string {
	if r.Key == "" {
		return "token" // as the API server defaults it
	}
	return string(r.Key)
}

// ConfigMapKeyRef names one value of a ConfigMap in the object's own namespace.
type ConfigMapKeyRef struct {
	// Name of the ConfigMap.
	Name ObjectName `json:"name"`
	// Key of the value in the ConfigMap's data.
	Key DataKey `json:"key"`
}
