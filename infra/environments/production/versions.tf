terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "6.50.0"
    }
  }

  # terraform init -backend-config="bucket=<bucket for the state>"
  backend "gcs" {
    prefix = "crypto-signals/production"
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
