import { DefaultAzureCredential } from '@azure/identity'

/**
 * The chain that the original walks too: service principal of the environment (AZURE_TENANT_ID, AZURE_CLIENT_ID, …),
 * workload identity (AKS), managed identity, the tools of a person. Loaded only without a key and a SAS token.
 */
export function openIdentity(): DefaultAzureCredential {
  return new DefaultAzureCredential()
}
